//! The policy that checks Gateways: the embedded one, or a module with a metadata.yml next to it.

use std::path::{Path, PathBuf};

use policy_host::{Metadata, Module};

use crate::{Error, METADATA, MODULE};

/// A module and its metadata.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The compiled module.
    pub module: Module,
    /// Its metadata; `None` if there is no metadata.yml next to it.
    pub metadata: Option<Metadata>,
}

impl Policy {
    /// The policy that this program was built with.
    ///
    /// # Errors
    /// [`Error::Host`] if the module or its metadata cannot be read.
    pub fn embedded() -> Result<Self, Error> {
        let metadata = Metadata::from_yaml(METADATA)?;
        Ok(Self { module: Module::from_bytes(MODULE)?, metadata: Some(metadata) })
    }

    /// Loads a module from a file. A module carries its metadata only after `kwctl annotate`, so the metadata
    /// is read from the metadata.yml next to it.
    ///
    /// # Errors
    /// [`Error::Host`] if the module or its metadata cannot be read.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let module = Module::load(path)?;
        let metadata_file = metadata_path(path);
        let metadata = if metadata_file.exists() { Some(Metadata::load(metadata_file)?) } else { None };
        Ok(Self { module, metadata })
    }
}

/// The path of the metadata.yml of a module.
#[must_use]
pub fn metadata_path(module: &Path) -> PathBuf {
    module.with_file_name("metadata.yml")
}
