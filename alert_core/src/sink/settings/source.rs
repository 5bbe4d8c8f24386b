//! Where settings come from beside the configuration file.

use std::io;
use std::path::Path;

use crate::base::address;

/// Where settings come from beside the configuration file.
pub trait Source {
    /// The variable of the environment, `None` where it is not set or not UTF-8.
    fn env(&self, name: &str) -> Option<String>;

    /// The content of a file.
    ///
    /// # Errors
    ///
    /// Whatever kept the file from being read.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The addresses of a server that is written like this.
    ///
    /// # Errors
    ///
    /// The cause.
    fn resolve(&self, written: &str) -> Result<Vec<String>, String> {
        address::resolve(written)
    }
}

/// The environment and the files of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemSource;

impl Source for SystemSource {
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }
}
