//! Which policy judges: the embedded one, or a module with its metadata.yml beside it.

use std::path::{Path, PathBuf};

use policy_host::{Metadata, Module};

use crate::{Error, METADATA, MODULE};

/// A module and what it needs.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The compiled module.
    pub module: Module,
    /// Its metadata; none where no metadata.yml lies beside it.
    pub metadata: Option<Metadata>,
}

impl Policy {
    /// The policy that this program was built with.
    ///
    /// # Errors
    /// [`Error::Host`].
    pub fn embedded() -> Result<Self, Error> {
        let metadata = Metadata::from_yaml(METADATA)?;
        Ok(Self { module: Module::from_bytes(MODULE)?, metadata: Some(metadata) })
    }

    /// A module in a file. A module carries its metadata only after `kwctl annotate`; here it is read from the
    /// metadata.yml beside it.
    ///
    /// # Errors
    /// [`Error::Host`].
    pub fn load(path: &Path) -> Result<Self, Error> {
        let module = Module::load(path)?;
        let beside = metadata_path(path);
        let metadata = if beside.exists() { Some(Metadata::load(beside)?) } else { None };
        Ok(Self { module, metadata })
    }
}

/// Where the metadata of a module is looked for.
#[must_use]
pub fn metadata_path(module: &Path) -> PathBuf {
    module.with_file_name("metadata.yml")
}
