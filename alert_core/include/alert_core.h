/* alert_core: failover and error-rate detection with alert delivery, for C and for LuaJIT's FFI.
 *
 * Generated from alert_core/c/src by cbindgen; do not edit.
 *
 * A program makes a handle from settings, puts every finished request, and gets alerts: the library delivers them by
 * itself where the settings name sinks (`alert_notify`), else the program fetches them with alert_poll.
 *
 * Two ways to run. Without alert_start everything happens within the calls: alert_put judges, and the program calls
 * alert_tick about once a second. After alert_start a thread judges and a thread for each sink delivers, and alert_put
 * only queues.
 *
 * Processes. What the detector knows lies in the "board". Its own board is shared with the processes that are forked
 * after alert_create: create before the fork, start after it, and all of them are one detector. A board in memory of
 * the program's own (a mapped file, say) is shared by whoever passes it to alert_create with the same settings; with
 * other settings the newest handle judges and the others only count. A started handle does not work across a fork.
 *
 * Threads. Every function may be called from any thread at any time, also several at once on one handle. A process
 * forks only while no other thread is inside a function of this library.
 *
 * Text is UTF-8. A pointer with a length needs no NUL at its end, and NULL with length 0 is the empty text; a pointer
 * without a length is a string that ends with NUL. Nothing passed in is kept after the call, except a board.
 * Times are milliseconds; points in time count from the Unix epoch.
 *
 * Rollouts are for nginx alone: there is no pool for a key here, and no vote by alert_put. The library sees requests once
 * they are finished; which pool a request belongs to is decided before that, by whatever sends it there.
 *
 * No function unwinds, aborts or blocks signals; bad input is an error code. The threads of the library take no
 * signals. */

#ifndef ALERT_CORE_H
#define ALERT_CORE_H

#include <stddef.h>
#include <stdint.h>

// What a function returns: 0 on success, more where there is nothing to do, less where something is wrong.
typedef enum alert_code {
  // Done.
  ALERT_OK = 0,
  // There is nothing (more) to fetch.
  ALERT_EMPTY = 1,
  // No handle, or one that was freed.
  ALERT_EHANDLE = -1,
  // An argument is NULL, too long, not UTF-8 or out of range.
  ALERT_EARGUMENT = -2,
  // The settings have a mistake; the text in the buffer says where and which.
  ALERT_ESETTINGS = -3,
  // The board is too small, not aligned, or holds something else; the text in the buffer says which.
  ALERT_EBOARD = -4,
  // The settings have no monitor of this name.
  ALERT_EMONITOR = -5,
  // The buffer is too small; nothing was written or consumed, and *needed says how large it has to be.
  ALERT_EBUFFER = -6,
  // Another configuration is in force on this board: free the handle and create one with the present settings.
  ALERT_ESTALE = -7,
  // The handle, or another one of this process on the same board, was started already.
  ALERT_ESTARTED = -8,
  // The system did not let the library start its threads.
  ALERT_ETHREADS = -9,
  // It was not done in time.
  ALERT_ETIMEOUT = -10,
  // The handle was started before this process was forked.
  ALERT_EFORK = -11,
  // A process can have 64 handles at a time, and has.
  ALERT_EHANDLES = -12,
  // The settings name sinks, so the library delivers the alerts by itself.
  ALERT_ESINKS = -13,
  // A defect of the library.
  ALERT_EDEFECT = -14,
} alert_code;

// A detector. The pointer is a name and is never followed, so a wrong one is an error and no crash.
typedef struct alert_t alert_t;

// One upstream attempt.
typedef struct alert_attempt {
  // Address of the server as nginx writes it: `127.0.0.1:8081`, `[::1]:80`, `unix:/path`; or empty.
  const char *address;
  // Its length in bytes.
  size_t address_len;
  // Name of the server's pool, or empty. Counts only where the settings do not list the address.
  const char *pool;
  // Its length in bytes.
  size_t pool_len;
  // Status of the answer, 0 to 999: 502 or 504 where there was none, 0 where the client went away meanwhile.
  uint32_t status;
  // How long the attempt took, in milliseconds; 0 where that is unknown.
  uint32_t time_ms;
} alert_attempt;

// One finished request.
typedef struct alert_request {
  // Name of the monitor that watches it.
  const char *monitor;
  // Its length in bytes.
  size_t monitor_len;
  // Its attempts, in order; at least one.
  const struct alert_attempt *attempts;
  // How many.
  size_t attempts_len;
  // The release that answered, or empty.
  const char *release;
  // Its length in bytes.
  size_t release_len;
  // When it ended, in milliseconds since the Unix epoch; 0 is now. Without threads this is also the time at which
  // it is judged, so that a recording can be replayed.
  uint64_t time_ms;
  // The status that the client got, 0 to 999. With 499 or 0 the client went away: the request was abandoned where its
  // attempts took a second or more, else it is not counted.
  uint32_t status;
} alert_request;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Version of the library, such as "0.1.0". Never NULL, never to be freed.
const char *alert_version(void);

// What a code means, in a few words. Never NULL, never to be freed; any number may be asked for.
const char *alert_code_text(int code);

// Says how large a board for these settings has to be, in bytes. Where the settings will change while the board stays,
// the old and the new have to fit: take twice as much.
//
// `settings`: as for alert_create; looks up the names of hosts. `error`: as for alert_create.
enum alert_code alert_board_size(const char *settings,
                                 size_t settings_len,
                                 size_t *board_size,
                                 char *error,
                                 size_t error_size);

// Makes a detector. Starts no thread and sends nothing; looks up the names of hosts, which may take its time.
//
// `settings`: `alert_monitor NAME { ... }`, at least one, and `alert_notify SINK TARGET ...;`, in the words and the
// syntax of the nginx module, at most 1 MiB. What they refer to (environment, files) is read now.
//
// `board`: memory of `board_size` bytes, aligned to 8, all zero when it is used for the first time, that stays the
// caller's and stays valid until alert_free has returned ALERT_OK (after ALERT_ETIMEOUT: for good). Several processes
// may share it; they create one after the other. NULL with size 0 makes a board of the library's own, which processes
// that are forked later share, and which alert_free gives back.
//
// `handle`: gets the handle, or NULL on an error.
//
// `error`: gets what is wrong, as a sentence with line and column, cut to `error_size` bytes with a NUL; unchanged on
// success. NULL with size 0 where nobody wants to know.
enum alert_code alert_create(const char *settings,
                             size_t settings_len,
                             void *board,
                             size_t board_size,
                             struct alert_t **handle,
                             char *error,
                             size_t error_size);

// Starts the threads of this process: one judges, one for each sink delivers. From now on alert_put only queues, and
// alert_tick has nothing to do. One started handle per process and board.
enum alert_code alert_start(struct alert_t *handle);

// Takes one finished request. With threads it never waits, and a request for which the queue has no room is counted as
// dropped; without, it is judged before the function returns.
enum alert_code alert_put(struct alert_t *handle,
                          const struct alert_request *request);

// Takes one finished request as nginx's variables tell it, for log_by_lua and the like. Each argument is the value of
// the variable of that name, or NULL where it has none; `pool` and `release` are what the answer said of itself (such
// as `$upstream_http_x_app_pool`), `status` is `$status`. A request without upstream attempts is not counted; all that it
// made count, also those before an internal redirect.
enum alert_code alert_put_nginx(struct alert_t *handle,
                                const char *monitor,
                                const char *upstream_addr,
                                const char *upstream_status,
                                const char *upstream_response_time,
                                const char *pool,
                                const char *release,
                                uint32_t status);

// Judges what time alone changes: reminders, requests that grow too old, the end of maintenance. To be called about
// once a second where there are no threads; `time_ms` is the time in milliseconds since the Unix epoch, 0 is now.
enum alert_code alert_tick(struct alert_t *handle,
                           uint64_t time_ms);

// Waits until every request put before by this process is judged: at most `limit_ms` milliseconds, then
// ALERT_ETIMEOUT. Without threads that is always so. It does not wait for deliveries. A failover may be told up to 50
// milliseconds later, since an answer that another process has yet to judge may speak against it.
enum alert_code alert_flush(struct alert_t *handle,
                            uint32_t limit_ms);

// Writes the status of everything as JSON, the document of `alert_status` in nginx, with a NUL at its end.
//
// `needed`, where it is not NULL, gets the size of the text with its NUL, also where the buffer is too small
// (ALERT_EBUFFER, nothing is written). It may have grown by the next call. NULL with size 0 only asks for the size.
enum alert_code alert_status(struct alert_t *handle,
                             char *buffer,
                             size_t size,
                             size_t *needed);

// Hands out the oldest alert that waits, as a JSON object with a NUL at its end; ALERT_EMPTY where none waits. Each
// alert is handed out once, to one of all processes that share the board. The last 128 wait; older ones are lost.
// Where the settings name sinks there is nothing to poll: ALERT_ESINKS.
//
// Buffer as for alert_status; an alert that does not fit goes on waiting.
enum alert_code alert_poll(struct alert_t *handle,
                           char *buffer,
                           size_t size,
                           size_t *needed);

// Hands out the next line for the program's log, such as "warn: cannot deliver to slack: ...", with a NUL at its end;
// ALERT_EMPTY where there is none. 256 lines wait, what does not fit is counted and the count is said.
//
// Buffer as for alert_status; a line that does not fit goes on waiting.
enum alert_code alert_log(struct alert_t *handle,
                          char *buffer,
                          size_t size,
                          size_t *needed);

// Frees the handle, which is none from now on, whatever this returns. Threads judge what waits, try once more to
// deliver, and end within about `limit_ms` milliseconds. ALERT_ETIMEOUT: a thread (or a call that was under way) did
// not end; it is left to the end of the process, with the board. What was not delivered goes on waiting in the board.
// ALERT_EFORK: the threads are those of the process that forked this one, and were left alone.
enum alert_code alert_free(struct alert_t *handle,
                           uint32_t limit_ms);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* ALERT_CORE_H */
