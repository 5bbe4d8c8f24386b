/* What the test programs share: checks that say where they failed, and requests in one line. */

#ifndef CHECK_H
#define CHECK_H

#include <alert_core.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHECK(condition)                                                             \
    do {                                                                             \
        if (!(condition)) {                                                          \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                                 \
        }                                                                            \
    } while (0)

#define CHECK_CODE(expected, call)                                                                            \
    do {                                                                                                      \
        int got_ = (call);                                                                                    \
        if (got_ != (expected)) {                                                                             \
            fprintf(stderr, "%s:%d: %s is %d (%s)\n", __FILE__, __LINE__, #call, got_, alert_code_text(got_)); \
            exit(1);                                                                                          \
        }                                                                                                     \
    } while (0)

#define CHECK_PART(text, part)                                                                             \
    do {                                                                                                   \
        if (strstr((text), (part)) == NULL) {                                                              \
            fprintf(stderr, "%s:%d: no \"%s\" in: %s\n", __FILE__, __LINE__, (part), (const char *)(text)); \
            exit(1);                                                                                       \
        }                                                                                                  \
    } while (0)

#define SETTINGS                                                        \
    "alert_monitor app {\n"                                             \
    "    pool blue 127.0.0.1:8081;  # the first\n"                      \
    "    pool green 127.0.0.1:8082 unix:/run/green;\n"                  \
    "    active blue; window 50; error_rate 10%; retry_rate off;\n"     \
    "}\n"

/* Makes a handle on a board of its own. */
static inline alert_t *created(const char *settings)
{
    alert_t *handle = NULL;
    char error[512] = "";
    int code = alert_create(settings, strlen(settings), NULL, 0, &handle, error, sizeof(error));
    if (code != ALERT_OK) {
        fprintf(stderr, "%s\n", error);
        exit(1);
    }
    return handle;
}

static inline alert_attempt attempt(const char *address, uint32_t status)
{
    alert_attempt attempt = {0};
    attempt.address = address;
    attempt.address_len = strlen(address);
    attempt.status = status;
    return attempt;
}

static inline int put(alert_t *handle, const alert_attempt *attempts, size_t len, uint32_t status, uint64_t time_ms)
{
    alert_request request = {0};
    request.monitor = "app";
    request.monitor_len = 3;
    request.attempts = attempts;
    request.attempts_len = len;
    request.status = status;
    request.time_ms = time_ms;
    return alert_put(handle, &request);
}

/* A moment later than every request that was put without a time: within one millisecond nobody knows who answered last. */
static inline uint64_t later(void)
{
    struct timespec now;
    CHECK(timespec_get(&now, TIME_UTC) == TIME_UTC);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000 + 2;
}

/* Blue fails and green answers in its place. */
static inline int put_failover(alert_t *handle, uint64_t time_ms)
{
    alert_attempt attempts[2] = {attempt("127.0.0.1:8081", 502), attempt("127.0.0.1:8082", 200)};
    return put(handle, attempts, 2, 200, time_ms);
}

static inline int put_answer(alert_t *handle, uint32_t status, uint64_t time_ms)
{
    alert_attempt attempts[1] = {attempt("127.0.0.1:8081", status)};
    return put(handle, attempts, 1, status, time_ms);
}

/* The status, for the caller to free. */
static inline char *status_of(alert_t *handle)
{
    size_t size = 0;
    char *buffer = NULL;
    while (alert_status(handle, buffer, buffer == NULL ? 0 : size, &size) == ALERT_EBUFFER) {
        size += 256;
        buffer = realloc(buffer, size);
        CHECK(buffer != NULL);
    }
    return buffer;
}

#endif
