//! What becomes of requests, one by one and over a window.

/// What became of a request, as the window keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Outcome {
    /// The client got an answer, at the first try.
    Answered = 1,
    /// The client got an upstream failure.
    Failed = 2,
    /// A failed attempt was hidden by a retry.
    Retried = 3,
    /// The same while failed over, which explains it: it never counts for the retry rate.
    RetriedWhileFailedOver = 4,
    /// The client gave up after it had waited for a header.
    Abandoned = 5,
}

/// What a window holds at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests whose client got an upstream failure.
    pub failed: u32,
    /// Requests with a failure hidden by a retry, not counting those while failed over.
    pub retried: u32,
    /// Requests above the latency limit.
    pub slow: u32,
    /// Requests above 80 % of the latency limit.
    pub nearly_slow: u32,
    /// Requests in the window.
    pub filled: u32,
    /// Requests whose client gave up waiting.
    pub abandoned: u32,
}
