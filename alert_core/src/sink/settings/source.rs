//! Where settings come from beside the configuration file.

use std::io;
use std::path::Path;

use crate::base::address;
use crate::base::file;

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

    /// Whether a configuration is good without a value that cannot be had here. `sentence` says which, and why not; it is
    /// told by nobody else.
    fn does_without(&self, _missing: Missing, _sentence: &str) -> bool {
        false
    }

    /// The addresses of a server that is written like this.
    ///
    /// # Errors
    ///
    /// The cause.
    fn resolve(&self, written: &str) -> Result<Vec<String>, String> {
        address::resolve(written)
    }
}

/// What cannot be had where a configuration is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// A value that a variable of the environment or a file gives.
    Value,
    /// A file that a parameter names.
    File,
}

/// The environment and the files of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemSource;

impl Source for SystemSource {
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        file::read(path, file::FILE_MAX)
    }
}
