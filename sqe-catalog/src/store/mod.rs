//! Stores out of leases: the only place where stores are built, so the only one where credentials meet I/O.

mod guard;
pub(crate) mod local;

use std::sync::Arc;

use async_trait::async_trait;
use object_store::ObjectStore;
use sqe_core::{
    Error, Result,
    catalog::StoreOpener,
    credentials::{Lease, StoreCredentials},
};

pub use guard::PrefixGuard;
use local::LocalFiles;

/// Opens stores for the leases that the vendors of this crate hand out.
///
/// Nothing here reads the environment or a machine's own credentials: a store can do what its lease's credentials can,
/// within the lease's prefixes, and writes only if the lease is writable.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stores;

#[async_trait]
impl StoreOpener for Stores {
    async fn open(&self, lease: &Lease) -> Result<Arc<dyn ObjectStore>> {
        let inner: Arc<dyn ObjectStore> = match lease.source.credentials().await? {
            StoreCredentials::LocalFiles => Arc::new(LocalFiles::within(&lease.prefixes)?),
            StoreCredentials::S3 { .. } => {
                return Err(Error::unsupported(
                    "S3 compatible storage is not built into this version; use local files",
                ));
            }
            _ => return Err(Error::unsupported("this kind of storage is not known here; use local files")),
        };
        Ok(Arc::new(PrefixGuard::new(inner, lease)?))
    }
}

#[cfg(test)]
mod tests;
