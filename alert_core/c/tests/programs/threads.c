/* With threads: the library judges and delivers. The argument is the URL of the sink. */

#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

enum { PUTTERS = 3, REQUESTS = 200 };

static void *put_many(void *handle)
{
    for (int n = 0; n < REQUESTS; n++) {
        int code = put_answer(handle, 200, 0);
        /* The handle is freed while the last ones are put. */
        CHECK(code == ALERT_OK || code == ALERT_EHANDLE);
    }
    return NULL;
}

static void the_library_delivers(const char *url)
{
    char settings[512];
    snprintf(settings, sizeof(settings), "alert_notify slack %s; %s", url, SETTINGS);
    alert_t *handle = created(settings);
    CHECK_CODE(ALERT_ESINKS, alert_poll(handle, NULL, 0, NULL));
    CHECK_CODE(ALERT_OK, alert_start(handle));
    CHECK_CODE(ALERT_ESTARTED, alert_start(handle));
    CHECK_CODE(ALERT_OK, put_answer(handle, 200, 0));
    CHECK_CODE(ALERT_OK, put_failover(handle, later()));
    CHECK_CODE(ALERT_OK, put_failover(handle, later()));
    CHECK_CODE(ALERT_OK, alert_tick(handle, 0));
    CHECK_CODE(ALERT_OK, alert_flush(handle, 10000));
    char *status = status_of(handle);
    CHECK_PART(status, "\"filled\":3");
    free(status);
    /* What waits is delivered at the end, which takes its time under valgrind on a busy machine. */
    CHECK_CODE(ALERT_OK, alert_free(handle, 60000));
    CHECK_CODE(ALERT_EHANDLE, alert_free(handle, 0));
}

static void many_threads_put_until_the_handle_is_freed(void)
{
    alert_t *handle = created(SETTINGS);
    CHECK_CODE(ALERT_OK, alert_start(handle));
    pthread_t putters[PUTTERS];
    for (int n = 0; n < PUTTERS; n++) {
        CHECK(pthread_create(&putters[n], NULL, put_many, handle) == 0);
    }
    for (int n = 0; n < 20; n++) {
        free(status_of(handle));
    }
    CHECK_CODE(ALERT_OK, alert_free(handle, 10000));
    for (int n = 0; n < PUTTERS; n++) {
        CHECK(pthread_join(putters[n], NULL) == 0);
    }
}

static void a_handle_can_be_started_again_on_the_same_board(void)
{
    alert_t *first = NULL, *second = NULL;
    size_t size = 0;
    CHECK_CODE(ALERT_OK, alert_board_size(SETTINGS, strlen(SETTINGS), &size, NULL, 0));
    void *board = calloc(1, size);
    CHECK_CODE(ALERT_OK, alert_create(SETTINGS, strlen(SETTINGS), board, size, &first, NULL, 0));
    CHECK_CODE(ALERT_OK, alert_create(SETTINGS, strlen(SETTINGS), board, size, &second, NULL, 0));
    CHECK_CODE(ALERT_OK, alert_start(first));
    CHECK_CODE(ALERT_ESTARTED, alert_start(second));
    CHECK_CODE(ALERT_OK, put_answer(first, 200, 0));
    CHECK_CODE(ALERT_OK, alert_free(first, 10000));
    CHECK_CODE(ALERT_OK, alert_start(second));
    char *status = status_of(second);
    CHECK_PART(status, "\"filled\":1");
    free(status);
    CHECK_CODE(ALERT_OK, alert_free(second, 10000));
    free(board);
}

static void no_thread_takes_a_signal(void)
{
    /* SIGUSR1 would end the process if any thread took it; the only one with it unblocked is none. */
    sigset_t all, before, pending;
    alert_t *handle = created(SETTINGS);
    CHECK_CODE(ALERT_OK, alert_start(handle));
    sigfillset(&all);
    CHECK(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    CHECK(!sigismember(&before, SIGUSR1));
    CHECK(kill(getpid(), SIGUSR1) == 0);
    CHECK_CODE(ALERT_OK, put_answer(handle, 200, 0));
    CHECK_CODE(ALERT_OK, alert_flush(handle, 10000));
    CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1));
    int number = 0;
    CHECK(sigwait(&pending, &number) == 0);
    CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    CHECK_CODE(ALERT_OK, alert_free(handle, 10000));
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    the_library_delivers(argv[1]);
    many_threads_put_until_the_handle_is_freed();
    a_handle_can_be_started_again_on_the_same_board();
    no_thread_takes_a_signal();
    return 0;
}
