//! Leases on files of this machine.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqe_core::{
    Error, Result,
    credentials::{CredentialVendor, Lease, LeaseSource, StoreCredentials, VendRequest},
};

use crate::store::local::{real_folder, real_path};

/// Hands out leases on folders below configured roots, for one machine's own files.
///
/// The files carry no identity of their own: the operating system sees one user, so a lease's prefixes, kept by
/// [`PrefixGuard`](crate::store::PrefixGuard), are what stands between two people. A lease covers a folder below a root,
/// never a root itself.
#[derive(Debug, Clone)]
pub struct LocalVendor {
    roots: Vec<PathBuf>,
}

impl LocalVendor {
    /// A vendor for what lies below `roots`, absolute paths of folders that need not exist yet.
    ///
    /// # Errors
    /// `InvalidInput` without roots, for a relative one, and for the root of the file system.
    pub fn new<P: AsRef<Path>>(roots: impl IntoIterator<Item = P>) -> Result<Self> {
        let roots = roots
            .into_iter()
            .map(|root| {
                let root = root.as_ref();
                if !root.is_absolute() || root.parent().is_none() {
                    return Err(Error::invalid(format!(
                        "the warehouse folder {} must be an absolute path below the root of the file system",
                        root.display()
                    )));
                }
                Ok(root.to_owned())
            })
            .collect::<Result<Vec<_>>>()?;
        match roots.is_empty() {
            true => Err(Error::invalid("a vendor of local files needs at least one warehouse folder")),
            false => Ok(Self { roots }),
        }
    }

    fn may_reach(&self, prefix: &str) -> Result<bool> {
        if !prefix.ends_with('/') {
            return Ok(false);
        }
        let Ok(folder) = real_folder(prefix) else { return Ok(false) };
        for root in &self.roots {
            let root = real_path(root)
                .map_err(|error| Error::unavailable("the warehouse folder cannot be reached").with_source(error))?;
            if folder.starts_with(&root) && folder != root {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[async_trait]
impl CredentialVendor for LocalVendor {
    async fn vend(&self, request: &VendRequest<'_>) -> Result<Lease> {
        if request.prefixes.is_empty() {
            return Err(Error::invalid("a lease needs at least one prefix"));
        }
        for prefix in request.prefixes {
            if !self.may_reach(prefix)? {
                return Err(Error::denied(format!(
                    "a folder of table {} lies outside of the configured warehouse folders",
                    request.table
                )));
            }
        }
        Ok(Lease::for_request(request, Arc::new(LocalFiles)))
    }
}

/// Files need no keys.
#[derive(Debug)]
struct LocalFiles;

#[async_trait]
impl LeaseSource for LocalFiles {
    async fn credentials(&self) -> Result<StoreCredentials> {
        Ok(StoreCredentials::LocalFiles)
    }

    fn expires_at(&self) -> Option<DateTime<Utc>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use sqe_core::{ErrorKind, Identity, Principal, TableName, credentials::Operation};

    use super::*;

    async fn vend(vendor: &LocalVendor, prefix: &str, operation: Operation) -> Result<Lease> {
        let identity = Identity::new(Principal::new("idp", "alice"));
        let (name, prefixes) = (TableName::new("lake", "s", "t"), vec![prefix.to_owned()]);
        vendor.vend(&VendRequest::new(&identity, &name, &prefixes, operation)).await
    }

    #[rstest]
    #[case("file:///srv/wh/s/t/", true)]
    #[case("/srv/wh/s/t/", true)]
    #[case("file:///srv/wh/s/t", false)]
    #[case("file:///srv/wh/", false)]
    #[case("file:///srv/wh_other/t/", false)]
    #[case("file:///srv/wh/../etc/", false)]
    #[case("file:///etc/", false)]
    #[case("file://srv/wh/t/", false)]
    #[case("s3://srv/wh/t/", false)]
    #[tokio::test]
    async fn only_folders_below_a_root_are_leased(#[case] prefix: &str, #[case] allowed: bool) {
        let vendor = LocalVendor::new(["/srv/wh"]).unwrap();
        match vend(&vendor, prefix, Operation::Read).await {
            Ok(lease) => {
                assert!(allowed, "{prefix}");
                assert_eq!((lease.session_name.as_str(), lease.writable), ("alice", false));
                assert_eq!(lease.prefixes, [prefix]);
            }
            Err(error) => {
                assert!(!allowed, "{prefix}");
                assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            }
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_link_out_of_the_root_is_not_leased_and_its_neighbour_is() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("wh"), dir.path().join("outside"));
        std::fs::create_dir_all(&root).unwrap();
        std::fs::create_dir_all(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("link")).unwrap();
        let vendor = LocalVendor::new([&root]).unwrap();
        let prefix = |name: &str| format!("file://{}/{name}/", root.display());
        assert!(vend(&vendor, &prefix("link"), Operation::Read).await.is_err());
        assert!(vend(&vendor, &prefix("link/t"), Operation::Read).await.is_err());
        assert!(vend(&vendor, &prefix("new"), Operation::Write).await.unwrap().writable);
    }

    #[rstest]
    #[case(&[])]
    #[case(&["relative"])]
    #[case(&["/"])]
    fn useless_roots_are_refused(#[case] roots: &[&str]) {
        assert!(LocalVendor::new(roots).is_err());
    }
}
