//! Certificates for a server and its clients.

use std::{fs, net::Ipv4Addr, path::Path, path::PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use crate::{Error, Result};

/// An authority of its own, and what it has signed: one certificate for the server (for
/// `localhost` and `127.0.0.1`), one for clients.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The authority's certificate. It has no `key` file.
    pub authority: Certificate,
    /// The server's.
    pub server: Certificate,
    /// A client's.
    pub client: Certificate,
}

/// A certificate and its key, in PEM files.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate's file.
    pub certificate: PathBuf,
    /// The key's file.
    pub key: PathBuf,
}

impl Certificates {
    /// New ones, in files of this directory.
    ///
    /// # Errors
    /// When they cannot be made or written.
    pub fn new(directory: &Path) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = named("asm-servers authority", Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority = Certificate::at(directory, "authority");
        write(&authority.certificate, &params.self_signed(&key)?.pem())?;
        let issuer = Issuer::new(params, key);

        let mut params = named("localhost", vec!["localhost".to_owned()])?;
        let loopback = SanType::IpAddress(Ipv4Addr::LOCALHOST.into());
        params.subject_alt_names.push(loopback);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            // Replicas and Cluster nodes call each other with it.
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let server = Certificate::at(directory, "server");
        server.write(&params, &issuer)?;

        let mut params = named("asm-servers client", Vec::new())?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let client = Certificate::at(directory, "client");
        client.write(&params, &issuer)?;
        Ok(Self {
            authority,
            server,
            client,
        })
    }
}

impl Certificate {
    fn at(directory: &Path, name: &str) -> Self {
        Self {
            certificate: directory.join(format!("{name}.crt")),
            key: directory.join(format!("{name}.key")),
        }
    }

    fn write(&self, params: &CertificateParams, issuer: &Issuer<'_, KeyPair>) -> Result<()> {
        let key = KeyPair::generate()?;
        write(&self.certificate, &params.signed_by(&key, issuer)?.pem())?;
        write(&self.key, &key.serialize_pem())
    }
}

fn named(name: &str, hosts: Vec<String>) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn write(path: &Path, pem: &str) -> Result<()> {
    fs::write(path, pem).map_err(Error::io("write", path))
}
