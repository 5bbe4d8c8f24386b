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

/// Why an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Cause {
    /// No connection: refused, unreachable, or none of the servers was to be asked.
    Connect,
    /// No connection or no answer in time.
    Timeout,
    /// An answer that says so: 5xx, or what `failure_if` names.
    Status,
    /// The upstream broke off its answer, or gave none that is valid.
    Cut,
    /// nginx could not begin the attempt: no descriptor, no connection slot, an address that it cannot bind.
    Local,
}

impl Cause {
    /// Every cause, by its number.
    pub const ALL: [Cause; 5] = [Cause::Connect, Cause::Timeout, Cause::Status, Cause::Cut, Cause::Local];

    /// The name used in JSON and in metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Cause::Connect => "connect",
            Cause::Timeout => "timeout",
            Cause::Status => "status",
            Cause::Cut => "cut",
            Cause::Local => "local",
        }
    }
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
