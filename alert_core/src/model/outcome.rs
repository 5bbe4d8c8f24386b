//! What becomes of attempts and requests, one by one and over a window.

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

impl Outcome {
    /// Whether the client got an answer.
    #[inline]
    pub const fn is_answer(self) -> bool {
        !matches!(self, Outcome::Failed | Outcome::Abandoned)
    }
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

/// How an upstream attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptEnd {
    /// With an answer that is no failure.
    Answered,
    /// With a failure.
    Failed(Cause),
    /// With the client, which went away first.
    Abandoned,
}

impl AttemptEnd {
    /// The end of an attempt of which only the status is known; 0 is none, since the client went away.
    pub const fn of_status(status: u16) -> AttemptEnd {
        match status {
            0 => AttemptEnd::Abandoned,
            _ if is_failure(status) => AttemptEnd::Failed(Cause::Status),
            _ => AttemptEnd::Answered,
        }
    }
}

/// What the client of a request got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientGot {
    /// An answer.
    Answer,
    /// An upstream failure: a status of 500 to 599, or an answer that the upstream broke off.
    Failure,
    /// Nothing: it went away after it had waited for a second or more without a header.
    Nothing,
}

impl ClientGot {
    /// What a client got of whom only the status is known.
    pub const fn of_status(status: u16) -> ClientGot {
        if is_failure(status) { ClientGot::Failure } else { ClientGot::Answer }
    }
}

/// Whether a status says that a server failed. 600 and above says nothing.
#[inline]
pub const fn is_failure(status: u16) -> bool {
    matches!(status, 500..=599)
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

impl Counts {
    /// Requests whose client got an answer.
    #[inline]
    pub const fn answers(&self) -> u32 {
        self.filled.saturating_sub(self.failed).saturating_sub(self.abandoned)
    }
}
