//! Values that do not stand in the configuration file itself: variables of the environment, files, addresses of hosts.

use std::io;
use std::path::Path;

use alert_core::sink::settings::{Missing, Source, SystemSource};

use crate::nginx::conf::Conf;
use crate::nginx::process::{Purpose, purpose};

/// What is outside of this configuration. A process that only sends a signal reads none of it: the nginx that runs has
/// what its administrator's shell may lack.
pub struct Outside<'a, 'c>(pub &'a Conf<'c>);

impl Source for Outside<'_, '_> {
    fn env(&self, name: &str) -> Option<String> {
        if purpose() == Purpose::Signal {
            return None;
        }
        // A reload, a new binary and a single process must find it again.
        self.0.keep_env(name);
        SystemSource.env(name)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if purpose() == Purpose::Signal {
            return Err(io::ErrorKind::NotFound.into());
        }
        SystemSource.read(path)
    }

    fn does_without(&self, missing: Missing, sentence: &str) -> bool {
        match (purpose(), missing) {
            (Purpose::Signal, _) => true,
            (Purpose::Test, Missing::Value) => {
                self.0.warn(sentence.into());
                true
            }
            (Purpose::Test, Missing::File) | (Purpose::Serve, _) => false,
        }
    }

    fn resolve(&self, written: &str) -> Result<Vec<String>, String> {
        self.0.resolve(written)
    }
}
