//! Output that perhaps nobody reads any more: a terminal or a pipe that was closed is no reason to stop half-way.

/// `println!`, except that it does not panic where standard output is gone.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}
