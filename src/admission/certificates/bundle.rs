//! The CAs that an API server trusts for us: a few certificates in PEM. Pure but for the time, which is told.

use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use time::OffsetDateTime;

use super::authority::{Life, certificate};

/// Most CAs in a bundle: the one in use, and some that are on their way out.
const MOST: usize = 4;
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Certificates in PEM, each once, the most important first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bundle(Vec<String>);

impl Bundle {
    /// The certificates of a text that can be read; whatever else stands there is left out.
    pub(super) fn parse(text: &str) -> Self {
        let mut bundle = Self::default();
        for block in text.split(BEGIN).skip(1) {
            if let Some((inside, _)) = block.split_once(END) {
                bundle.add(&format!("{BEGIN}{inside}{END}\n"));
            }
        }
        bundle
    }

    /// These, then those of another that are valid, as far as there is room for them.
    pub(super) fn and_valid(mut self, other: &Self, now: OffsetDateTime) -> Self {
        for pem in &other.0 {
            let life = certificate(pem).and_then(|certificate| Life::of(&certificate));
            if life.is_ok_and(|life| life.holds(now)) && self.0.len() < MOST {
                self.add(pem);
            }
        }
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn holds_all(&self, other: &Self) -> bool {
        other.0.iter().all(|pem| self.0.contains(pem))
    }

    /// As it stands in a caBundle.
    pub(super) fn text(&self) -> String {
        self.0.concat()
    }

    /// Whether a client that has only these trusts that chain, under that name, now.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn vouches_for(
        &self,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: OffsetDateTime,
    ) -> Result<(), rustls::Error> {
        let mut roots = RootCertStore::empty();
        for pem in &self.0 {
            if let Ok(certificate) = certificate(pem) {
                // What is no root of anything vouches for nothing.
                let _ = roots.add(certificate);
            }
        }
        let unknown = || rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let provider = Arc::new(default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = verifier.build().map_err(|_| unknown())?;
        let (leaf, rest) = chain.split_first().ok_or_else(unknown)?;
        let seconds = u64::try_from(now.unix_timestamp()).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        verifier.verify_server_cert(leaf, rest, name, &[], now)?;
        Ok(())
    }

    fn add(&mut self, pem: &str) {
        let known = self.0.iter().any(|known| known == pem);
        if !known && certificate(pem).is_ok() {
            self.0.push(pem.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::super::authority::Authority;
    use super::*;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH.saturating_add(Duration::days(20_000));

    fn pem() -> String {
        Authority::make(NOW).unwrap().0
    }

    #[test]
    fn of_a_text_the_certificates_are_kept_each_once() {
        let (one, other) = (pem(), pem());
        let broken = one.replace("MII", "!!!");
        let text = format!("# comment\n{one}\r\n{broken}{other}{one}-----BEGIN CERTIFICATE-----\n");
        let bundle = Bundle::parse(&text);
        assert_eq!(bundle, Bundle::parse(&format!("{one}{other}")));
        assert_eq!(Bundle::parse(&bundle.text()), bundle);
        assert_eq!(Bundle::parse("stale"), Bundle::default());
    }

    #[test]
    fn those_on_their_way_out_are_kept_while_they_are_valid_and_there_is_room() {
        let (new, old) = (pem(), pem());
        let bundle = Bundle::parse(&new).and_valid(&Bundle::parse(&format!("{old}{new}")), NOW);
        assert_eq!(bundle.text(), format!("{new}{old}"));
        let late = NOW + Duration::days(5000);
        let bundle = Bundle::parse(&new).and_valid(&Bundle::parse(&old), late);
        assert_eq!(bundle.text(), new);
        let many: String = (0..9).map(|_| pem()).collect();
        let bundle = Bundle::parse(&new).and_valid(&Bundle::parse(&many), NOW);
        assert_eq!(bundle.0.len(), MOST);
    }

    #[test]
    fn a_leaf_is_trusted_by_its_ca_under_its_name_in_its_time() {
        let (pem, key) = Authority::make(NOW).unwrap();
        let authority = Authority::load(pem.clone(), &key).unwrap();
        let leaf = authority.sign("webhook.gpu-capgate.svc", NOW).unwrap();
        let trusted = |bundle: &Bundle, name: &'static str, now| {
            let name = ServerName::try_from(name).unwrap();
            bundle.vouches_for(&leaf.chain, &name, now).is_ok()
        };
        let (ours, both) = (
            Bundle::parse(&pem),
            Bundle::parse(&format!("{}{pem}", super::tests::pem())),
        );
        let name = "webhook.gpu-capgate.svc";
        assert!(trusted(&ours, name, NOW) && trusted(&both, name, NOW));
        assert!(!trusted(&ours, "other.gpu-capgate.svc", NOW));
        assert!(!trusted(&ours, name, NOW + Duration::days(8)));
        assert!(!trusted(&ours, name, NOW - Duration::days(1)));
        assert!(!trusted(&Bundle::parse(&super::tests::pem()), name, NOW));
        assert!(!trusted(&Bundle::default(), name, NOW));
    }
}
