//! Makes and reads CAs and leaves. Knows the time only as it is told, and neither Secrets nor registrations.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use time::{Duration, OffsetDateTime};

/// Ten years: a CA whose end nobody will have to think of, renewed by itself all the same.
const CA_LIFE: Duration = Duration::days(3650);
/// A leaf and its key never leave the process and cost nothing to make, so their life is as short as it can be while
/// one that was signed just before a long weekend without an API server, or without a process that gets to run, still
/// stands. (cert-manager's own webhook does the same.)
pub(super) const LEAF_LIFE: Duration = Duration::days(7);
/// Clocks of two machines may differ by that much.
pub(super) const CLOCK_SKEW: Duration = Duration::hours(1);

/// Why a certificate and a key are no CA.
#[derive(Debug, thiserror::Error)]
pub enum NoAuthority {
    /// One of them is not there or cannot be read.
    #[error(transparent)]
    Unreadable(#[from] rcgen::Error),
    /// Each is good, and they do not belong together.
    #[error("the private key is not the certificate's")]
    OtherKey,
}

/// A CA.
pub(super) struct Authority {
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
    life: Life,
}

/// What the server shows, and the key to it.
pub struct Leaf {
    /// The leaf, and what is between it and a CA that the API server has.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
}

/// From when until when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) from: OffsetDateTime,
    pub(super) until: OffsetDateTime,
}

impl Authority {
    /// A new CA, as certificate and private key in PEM.
    pub(super) fn make(now: OffsetDateTime) -> Result<(String, String), rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "gpu-capgate webhook CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        limit_life(&mut params, now, CA_LIFE);
        Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
    }

    pub(super) fn load(certificate_pem: String, key_pem: &str) -> Result<Self, NoAuthority> {
        let key = KeyPair::from_pem(key_pem)?;
        let certificate = certificate(&certificate_pem)?;
        // Nobody would trust what a stranger's key signs, and nothing but failing reviews would tell.
        if public_key(&certificate)? != key.subject_public_key_info() {
            return Err(NoAuthority::OtherKey);
        }
        let life = Life::of(&certificate)?;
        let issuer = Issuer::from_ca_cert_pem(&certificate_pem, key)?;
        Ok(Self {
            certificate_pem,
            issuer,
            life,
        })
    }

    /// A certificate for the DNS name that the API server dials.
    ///
    /// # Errors
    /// It is no DNS name.
    pub(super) fn sign(&self, name: &str, now: OffsetDateTime) -> Result<Leaf, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        // A common name holds 64 characters (RFC 5280, ub-common-name-length), and nobody reads this one.
        params
            .distinguished_name
            .push(DnType::CommonName, "gpu-capgate webhook");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        limit_life(&mut params, now, LEAF_LIFE);
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Leaf {
            chain: vec![certificate.der().clone()],
            key: key.into(),
        })
    }

    pub(super) fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    pub(super) fn life(&self) -> Life {
        self.life
    }
}

impl Life {
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Result<Self, rcgen::Error> {
        let unreadable = || rcgen::Error::CouldNotParseCertificate;
        let parsed = x509_parser::parse_x509_certificate(certificate);
        let (_, certificate) = parsed.map_err(|_| unreadable())?;
        let time = |seconds| OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| unreadable());
        let validity = certificate.validity();
        Ok(Self {
            from: time(validity.not_before.timestamp())?,
            until: time(validity.not_after.timestamp())?,
        })
    }

    pub(super) fn holds(self, now: OffsetDateTime) -> bool {
        self.from <= now && now <= self.until
    }

    /// Whether it is time for a successor: a third is left, or the clock stands outside.
    pub(super) fn is_due(self, now: OffsetDateTime) -> bool {
        !self.holds(now) || self.until - now < (self.until - self.from) / 3
    }
}

/// The first certificate of a text.
pub(super) fn certificate(pem: &str) -> Result<CertificateDer<'static>, rcgen::Error> {
    CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| rcgen::Error::CouldNotParseCertificate)
}

/// The public key that a certificate vouches for, as it stands there.
fn public_key(certificate: &CertificateDer<'_>) -> Result<Vec<u8>, rcgen::Error> {
    let certificate = ParsedCertificate::try_from(certificate)
        .map_err(|_| rcgen::Error::CouldNotParseCertificate)?;
    Ok(certificate.subject_public_key_info().to_vec())
}

fn limit_life(params: &mut CertificateParams, now: OffsetDateTime, life: Duration) {
    params.not_before = now - CLOCK_SKEW;
    params.not_after = now + life;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_authority_is_refused() {
        assert!(Authority::load("garbage".to_owned(), "garbage").is_err());
        assert!(Authority::load(String::new(), "").is_err());
    }

    #[test]
    fn a_life_is_due_in_its_last_third_and_outside() {
        let from = OffsetDateTime::UNIX_EPOCH;
        let life = Life {
            from,
            until: from + Duration::days(9),
        };
        let due = |hours: i64| life.is_due(from + Duration::hours(hours));
        assert!(due(-1) && !due(0) && !due(6 * 24) && due(6 * 24 + 1) && due(10 * 24));
    }

    #[test]
    fn lives_are_read_as_they_were_written() {
        let now = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        let (pem, key) = Authority::make(now).unwrap();
        let authority = Authority::load(pem, &key).unwrap();
        let leaf = authority.sign("a.b.svc", now).unwrap();
        let life = |until| Life {
            from: now - CLOCK_SKEW,
            until,
        };
        assert_eq!(authority.life(), life(now + CA_LIFE));
        assert_eq!(Life::of(&leaf.chain[0]).unwrap(), life(now + LEAF_LIFE));
    }
}
