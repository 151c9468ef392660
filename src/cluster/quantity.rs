//! Kubernetes quantities of things that are counted: text in, a whole number out.
//!
//! Pure. Grammar and rounding: k8s.io/apimachinery/pkg/api/resource (`ParseQuantity`); that extended resources are
//! whole: pkg/apis/core/validation (`ValidateResourceQuantityValue`).

/// Longest quantity that is looked at, in bytes; the longest sensible one has about 30.
const LENGTH_LIMIT: usize = 128;
/// The greatest quantity that Kubernetes stores, an `int64`.
const GREATEST: u64 = i64::MAX.unsigned_abs();

/// A text that is no whole number of things.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Longer than any sensible quantity.
    #[error("the quantity is {0} bytes long, more than {LENGTH_LIMIT}")]
    TooLong(usize),
    /// Not of the form number and suffix.
    #[error("{0:?} is not a quantity (expected like 4, 2k or 1e3)")]
    Malformed(String),
    /// Less than nothing.
    #[error("{0:?} is negative, and things are counted")]
    Negative(String),
    /// A part of a thing.
    #[error("{0:?} is not whole, and things are counted")]
    NotWhole(String),
    /// More than an `int64` holds.
    #[error("{0:?} is more than {GREATEST}")]
    TooLarge(String),
}

/// The factor that a suffix stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    /// A power of ten.
    Decimal(i32),
    /// A power of two.
    Binary(u32),
}

/// A number as digits without leading and trailing zeros, times a power of ten.
struct Decimal {
    digits: u128,
    exponent: i32,
}

/// The whole number that a quantity stands for, in any legal spelling: `4`, `+4`, `4.0`, `4000m`, `2k`, `1Ki`, `4e0`.
///
/// # Errors
/// See [`QuantityError`]; nothing panics and nothing overflows.
pub fn whole(text: &str) -> Result<u64, QuantityError> {
    if text.len() > LENGTH_LIMIT {
        return Err(QuantityError::TooLong(text.len()));
    }
    let malformed = || QuantityError::Malformed(text.to_owned());
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = unsigned
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at_checked(end).ok_or_else(malformed)?;
    let scale = scale(suffix).ok_or_else(malformed)?;
    let (before, after) = number.split_once('.').unwrap_or((number, ""));
    if before.len() + after.len() == 0 || after.contains('.') {
        return Err(malformed());
    }
    let Some(decimal) = decimal(before, after) else {
        return Err(QuantityError::TooLarge(text.to_owned()));
    };
    match product(&decimal, scale) {
        Product::Whole(0) => Ok(0),
        _ if negative => Err(QuantityError::Negative(text.to_owned())),
        Product::Whole(value) => Ok(value),
        Product::Broken => Err(QuantityError::NotWhole(text.to_owned())),
        Product::TooLarge => Err(QuantityError::TooLarge(text.to_owned())),
    }
}

/// The same for what a cluster reports, where nobody can be told: too much is as much as there is, and what is not
/// understood is nothing.
#[must_use]
pub fn reported(text: &str) -> u64 {
    match whole(text) {
        Ok(value) => value,
        Err(QuantityError::TooLarge(_)) => GREATEST,
        Err(
            QuantityError::TooLong(_)
            | QuantityError::Malformed(_)
            | QuantityError::Negative(_)
            | QuantityError::NotWhole(_),
        ) => 0,
    }
}

fn scale(suffix: &str) -> Option<Scale> {
    Some(match suffix {
        "" => Scale::Decimal(0),
        "n" => Scale::Decimal(-9),
        "u" => Scale::Decimal(-6),
        "m" => Scale::Decimal(-3),
        "k" => Scale::Decimal(3),
        "M" => Scale::Decimal(6),
        "G" => Scale::Decimal(9),
        "T" => Scale::Decimal(12),
        "P" => Scale::Decimal(15),
        "E" => Scale::Decimal(18),
        "Ki" => Scale::Binary(10),
        "Mi" => Scale::Binary(20),
        "Gi" => Scale::Binary(30),
        "Ti" => Scale::Binary(40),
        "Pi" => Scale::Binary(50),
        "Ei" => Scale::Binary(60),
        exponent => {
            let number = exponent.strip_prefix(['e', 'E'])?;
            let digits = number.strip_prefix(['+', '-']).unwrap_or(number);
            let legal = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            Scale::Decimal(legal.then(|| number.parse().ok())??)
        }
    })
}

/// `before.after` as a number; `None` if it has more digits that matter than any quantity.
fn decimal(before: &str, after: &str) -> Option<Decimal> {
    let mut digits: u128 = 0;
    let mut exponent = 0;
    let mut zeros = 0_u32;
    for (index, digit) in before.bytes().chain(after.bytes()).enumerate() {
        let fraction = index >= before.len();
        exponent -= i32::from(fraction);
        if digit == b'0' {
            zeros += 1;
            continue;
        }
        let shift = 10_u128.checked_pow(if digits == 0 { 1 } else { zeros + 1 })?;
        digits = digits
            .checked_mul(shift)?
            .checked_add(u128::from(digit - b'0'))?;
        zeros = 0;
    }
    let exponent = exponent.checked_add(i32::try_from(zeros).ok()?)?;
    Some(Decimal { digits, exponent })
}

enum Product {
    Whole(u64),
    /// Not a whole number.
    Broken,
    TooLarge,
}

fn product(decimal: &Decimal, scale: Scale) -> Product {
    let (ten, two) = match scale {
        Scale::Decimal(power) => (decimal.exponent.saturating_add(power), 0),
        Scale::Binary(power) => (decimal.exponent, power),
    };
    if decimal.digits == 0 {
        return Product::Whole(0);
    }
    let power = 10_u128.checked_pow(ten.unsigned_abs());
    let Some(scaled) = decimal.digits.checked_mul(1 << two) else {
        return Product::TooLarge;
    };
    let value = if ten >= 0 {
        power.and_then(|power| scaled.checked_mul(power))
    } else {
        // A power of ten that is too great for the type is greater than the number, so that a rest stays.
        match power {
            Some(power) if scaled.is_multiple_of(power) => Some(scaled / power),
            _ => return Product::Broken,
        }
    };
    let value = value.and_then(|value| u64::try_from(value).ok());
    match value.filter(|value| *value <= GREATEST) {
        Some(value) => Product::Whole(value),
        None => Product::TooLarge,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_legal_spelling_of_a_whole_number_is_read() {
        for (text, expected) in [
            ("0", 0),
            ("4", 4),
            ("+4", 4),
            ("04", 4),
            ("4.", 4),
            ("4.0", 4),
            (".0", 0),
            ("-0", 0),
            ("4000m", 4),
            ("4000000u", 4),
            ("4000000000n", 4),
            ("2k", 2_000),
            ("0.5k", 500),
            ("1M", 1_000_000),
            ("1G", 1_000_000_000),
            ("1T", 1_000_000_000_000),
            ("1P", 1_000_000_000_000_000),
            ("1E", 1_000_000_000_000_000_000),
            ("1Ki", 1024),
            ("0.5Ki", 512),
            ("0.0009765625Ki", 1),
            ("1Mi", 1 << 20),
            ("1Gi", 1 << 30),
            ("1Ti", 1 << 40),
            ("1Pi", 1 << 50),
            ("1Ei", 1 << 60),
            ("4e0", 4),
            ("4E1", 40),
            ("4e+1", 40),
            ("40e-1", 4),
            ("0e999999999", 0),
            ("9223372036854775807", i64::MAX.unsigned_abs()),
            ("1000000000000000000000000000000000000000000e-42", 1),
        ] {
            assert_eq!(whole(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_count_says_why() {
        let text = |text: &str| text.to_owned();
        for malformed in [
            "",
            "+",
            ".",
            "k",
            "1 ",
            " 1",
            "1K",
            "1ki",
            "1e",
            "1e+",
            "1.2.3",
            "0x1",
            "1e1.5",
            "four",
            "1Kik",
            "--1",
            "+-1",
            "1e--1",
            "1e+-1",
            "\u{661}",
            "1e99999999999999",
        ] {
            assert_eq!(
                whole(malformed),
                Err(QuantityError::Malformed(text(malformed)))
            );
        }
        assert_eq!(whole("-1"), Err(QuantityError::Negative(text("-1"))));
        assert_eq!(whole("1.5"), Err(QuantityError::NotWhole(text("1.5"))));
        assert_eq!(whole("1m"), Err(QuantityError::NotWhole(text("1m"))));
        assert_eq!(whole("1e-99"), Err(QuantityError::NotWhole(text("1e-99"))));
        for large in ["9223372036854775808", "16Ei", "1e99", "1e2147483647"] {
            assert_eq!(whole(large), Err(QuantityError::TooLarge(text(large))));
        }
        assert_eq!(whole(&"1".repeat(129)), Err(QuantityError::TooLong(129)));
        assert!(matches!(
            whole(&"1".repeat(100)),
            Err(QuantityError::TooLarge(_))
        ));
    }

    #[test]
    fn a_report_is_never_an_error() {
        assert_eq!(reported("8"), 8);
        assert_eq!(reported("1e99"), GREATEST);
        assert_eq!(reported("-3"), 0);
        assert_eq!(reported("many"), 0);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9+\\-.eEkKMGTPimnu]{0,40}|\\PC{0,40}") {
            let _ = whole(&text);
        }

        #[test]
        fn a_plain_number_is_itself(value in 0..=GREATEST) {
            prop_assert_eq!(whole(&value.to_string()), Ok(value));
        }

        #[test]
        fn a_thousand_of_a_thousandth_is_one(value in 0..1_000_000_u64) {
            prop_assert_eq!(whole(&format!("{value}000m")), Ok(value));
            prop_assert_eq!(whole(&format!("{value}e3")), Ok(value * 1000));
        }
    }
}
