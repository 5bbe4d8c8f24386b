//! Why something failed, in the words of the system.

use std::io;

/// The cause of an error, without the number that nginx would write in front.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_string()
}
