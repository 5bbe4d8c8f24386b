//! A bell by which other threads call the event loop.
//!
//! Nothing runs until one rings: a timer instead would wake an idle worker again and again, and lengthen the way through
//! nginx's tree of timers for every request.

use std::ffi::c_void;
use std::io;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use ngx::core::Status;
use ngx::ffi::{
    NGX_CLOSE_EVENT, ngx_connection_t, ngx_event_actions, ngx_event_t, ngx_handle_read_event, ngx_log_t, ngx_uint_t,
};

use super::process;

/// A bell that hangs in the event loop of this process.
pub struct Bell {
    rope: Rope,
    hung: *mut Hung,
}

/// What threads pull.
#[derive(Clone)]
pub struct Rope(Arc<OwnedFd>);

/// What nginx keeps pointers to.
struct Hung {
    connection: ngx_connection_t,
    read: ngx_event_t,
    write: ngx_event_t,
    answer: fn(),
}

impl Bell {
    /// Calls `answer` on the event loop each time somebody rings. The log is that of the cycle that the bell belongs to,
    /// which outlives it.
    ///
    /// # Errors
    /// The system or nginx has no room for it.
    pub fn hang(log: *mut ngx_log_t, answer: fn()) -> io::Result<Bell> {
        // SAFETY: a plain system call; what it returns is a new descriptor or an error.
        let rope = unsafe {
            let fd = libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            Rope(Arc::new(OwnedFd::from_raw_fd(fd)))
        };
        // SAFETY: all three structures are valid as zero, which is how nginx makes them.
        let mut hung = Box::new(unsafe {
            Hung { connection: std::mem::zeroed(), read: std::mem::zeroed(), write: std::mem::zeroed(), answer }
        });
        let raw = &raw mut *hung;
        let at = |offset: usize| raw.cast::<c_void>().wrapping_byte_add(offset);
        hung.connection.fd = rope.0.as_raw_fd();
        hung.connection.log = log;
        hung.connection.read = at(offset_of!(Hung, read)).cast();
        hung.connection.write = at(offset_of!(Hung, write)).cast();
        hung.read.handler = Some(on_ring);
        hung.write.set_write(1);
        for event in [&mut hung.read, &mut hung.write] {
            event.log = log;
            event.data = at(offset_of!(Hung, connection));
        }
        // SAFETY: the events and their connection stay where they are until `drop` has taken them out of the event loop.
        if unsafe { ngx_handle_read_event(&mut hung.read, 0) } != Status::NGX_OK.0 {
            return Err(io::Error::other("the event loop refuses a descriptor"));
        }
        Ok(Bell { rope, hung: Box::into_raw(hung) })
    }

    /// What threads pull.
    pub fn rope(&self) -> Rope {
        self.rope.clone()
    }
}

/// The bell that was taken down last. Its answer can be what took it down, and nginx has a last look at its events then.
static TAKEN_DOWN: AtomicPtr<Hung> = AtomicPtr::new(ptr::null_mut());

impl Drop for Bell {
    fn drop(&mut self) {
        // SAFETY: both are in the event loop. A thread that has not ended may keep the descriptor open, so that closing it
        // would not take it out. Methods like poll have no function for whole connections.
        unsafe {
            let Hung { connection, read, .. } = &mut *self.hung;
            match ngx_event_actions.del_conn {
                Some(remove) => remove(connection, 0),
                None => ngx_handle_read_event(read, NGX_CLOSE_EVENT as ngx_uint_t),
            };
        }
        let before = TAKEN_DOWN.swap(self.hung, Relaxed);
        if !before.is_null() {
            // SAFETY: from `Box::into_raw`, and out of the event loop since long.
            drop(unsafe { Box::from_raw(before) });
        }
    }
}

impl Rope {
    /// Rings, from any thread.
    pub fn pull(&self) {
        let once = 1_u64.to_ne_bytes();
        // SAFETY: the descriptor is open and the bytes are live. It fails only where the bell rings already.
        unsafe { libc::write(self.0.as_raw_fd(), once.as_ptr().cast(), once.len()) };
    }
}

/// Called by nginx when somebody has rung.
extern "C" fn on_ring(event: *mut ngx_event_t) {
    super::guarded(process::log(), (), || {
        // SAFETY: the event is that of a hung bell: its data points to the connection within.
        let (fd, answer) = unsafe {
            let hung = (*event).data.wrapping_byte_sub(offset_of!(Hung, connection)).cast::<Hung>();
            ((*hung).connection.fd, (*hung).answer)
        };
        let mut count = [0; size_of::<u64>()];
        // SAFETY: the descriptor is open and the buffer has the size that is read. It fails only where nobody rang.
        unsafe { libc::read(fd, count.as_mut_ptr().cast(), count.len()) };
        answer();
    });
}
