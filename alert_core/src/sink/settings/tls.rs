//! What a sink's TLS goes by beside the system's roots: the certificates of `ca=`, and its own of `cert=` and `key=`.

use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use ureq::tls::{Certificate, ClientCert, PrivateKey};

use super::SettingsError;
use super::words::Words;

/// The certificates in the PEM file of `ca=`, as DER.
pub(super) fn root_certs(words: &Words<'_>) -> Result<Vec<Vec<u8>>, SettingsError> {
    let Some((path, pem)) = words.file("ca")? else { return Ok(Vec::new()) };
    let error = |cause: String| SettingsError::Path { parameter: "ca", path: path.to_owned(), cause };
    let certs = certificates(&pem).map_err(error)?;
    let mut store = RootCertStore::empty();
    for (at, cert) in certs.iter().enumerate() {
        store.add(cert.clone()).map_err(|_| error(format!("certificate {} in it cannot be read", at + 1)))?;
    }
    Ok(certs.iter().map(|cert| cert.to_vec()).collect())
}

/// The certificate of `cert=` with its key, which is in the file of `key=`, or in the same one.
pub(super) fn client_cert(words: &Words<'_>) -> Result<Option<ClientCert>, SettingsError> {
    let Some((path, pem)) = words.file("cert")? else {
        return match words.written("key") {
            Some(_) => Err(SettingsError::Missing { kind: words.kind(), example: "cert=/path" }),
            None => Ok(None),
        };
    };
    let error = |cause: String| SettingsError::Path { parameter: "cert", path: path.to_owned(), cause };
    let chain = certificates(&pem).map_err(error)?;
    let (key_parameter, key_path, key_pem) = match words.file("key")? {
        Some((path, pem)) => ("key", path, pem),
        None => ("cert", path, pem.clone()),
    };
    let key_error = |cause: &str| SettingsError::Path {
        parameter: key_parameter,
        path: key_path.to_owned(),
        cause: cause.to_owned(),
    };
    let der = PrivateKeyDer::from_pem_slice(&key_pem)
        .map_err(|_| key_error("there is no PEM private key (\"-----BEGIN PRIVATE KEY-----\") in it"))?;
    CertifiedKey::from_der(chain.clone(), der, &default_provider())
        .map_err(|_| key_error("its key cannot be used, or does not belong to the certificate"))?;
    let key = PrivateKey::from_pem(&key_pem).map_err(|_| key_error("its key cannot be used"))?;
    let chain: Vec<Certificate<'static>> = chain.iter().map(|cert| Certificate::from_der(cert).to_owned()).collect();
    Ok(Some(ClientCert::new_with_certs(&chain, key)))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certs: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certs = certs.map_err(|_| "it is not valid PEM".to_owned())?;
    if certs.is_empty() {
        return Err("there is no PEM certificate (\"-----BEGIN CERTIFICATE-----\") in it".into());
    }
    Ok(certs)
}
