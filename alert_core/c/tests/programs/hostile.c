/* Bad input of every kind is an error code, and leaves the handle as it was. */

#include "check.h"

#define WRONG(pointer) ((void *)(uintptr_t)(pointer))

static void wrong_handles(void)
{
    char buffer[64];
    size_t needed = 0;
    alert_t *freed = created(SETTINGS);
    CHECK_CODE(ALERT_OK, alert_free(freed, 0));
    alert_t *live = created(SETTINGS);
    CHECK(live != freed);
    alert_t *wrong[] = {NULL, freed, WRONG(1), WRONG(64), WRONG(UINTPTR_MAX), (alert_t *)(void *)buffer};
    for (size_t n = 0; n < sizeof(wrong) / sizeof(wrong[0]); n++) {
        CHECK_CODE(ALERT_EHANDLE, alert_start(wrong[n]));
        CHECK_CODE(ALERT_EHANDLE, put_answer(wrong[n], 200, 0));
        CHECK_CODE(ALERT_EHANDLE, alert_put_nginx(wrong[n], "app", "a:1", "200", "0.001", NULL, NULL, 200));
        CHECK_CODE(ALERT_EHANDLE, alert_tick(wrong[n], 0));
        CHECK_CODE(ALERT_EHANDLE, alert_flush(wrong[n], 0));
        CHECK_CODE(ALERT_EHANDLE, alert_status(wrong[n], buffer, sizeof(buffer), &needed));
        CHECK_CODE(ALERT_EHANDLE, alert_poll(wrong[n], buffer, sizeof(buffer), &needed));
        CHECK_CODE(ALERT_EHANDLE, alert_log(wrong[n], buffer, sizeof(buffer), &needed));
        CHECK_CODE(ALERT_EHANDLE, alert_free(wrong[n], 0));
    }
    CHECK_CODE(ALERT_OK, put_answer(live, 200, 0));
    CHECK_CODE(ALERT_OK, alert_free(live, 0));
}

static void wrong_settings(void)
{
    alert_t *handle = WRONG(42);
    size_t size = 0;
    char error[256] = "";
    CHECK_CODE(ALERT_EARGUMENT, alert_create(NULL, 10, NULL, 0, &handle, error, sizeof(error)));
    CHECK(handle == NULL);
    CHECK_CODE(ALERT_ESETTINGS, alert_create(NULL, 0, NULL, 0, &handle, error, sizeof(error)));
    CHECK_PART(error, "there is no \"alert_monitor\"");
    CHECK_CODE(ALERT_EARGUMENT, alert_create(SETTINGS, SIZE_MAX, NULL, 0, &handle, error, sizeof(error)));
    CHECK_CODE(ALERT_EARGUMENT, alert_create(SETTINGS, strlen(SETTINGS), NULL, 0, NULL, error, sizeof(error)));
    CHECK_CODE(ALERT_EARGUMENT, alert_create(SETTINGS, strlen(SETTINGS), NULL, 0, &handle, NULL, 10));
    CHECK_CODE(ALERT_ESETTINGS, alert_create("\xff\xfe", 2, NULL, 0, &handle, error, sizeof(error)));
    CHECK_PART(error, "not UTF-8");

    const char *wrong = "alert_monitor app {\n    error_rate 200%;\n}";
    CHECK_CODE(ALERT_ESETTINGS, alert_create(wrong, strlen(wrong), NULL, 0, &handle, error, sizeof(error)));
    CHECK_PART(error, "line 2, column 5: invalid value \"200%\" in \"error_rate\" directive");
    memset(error, 'x', sizeof(error));
    CHECK_CODE(ALERT_ESETTINGS, alert_create(wrong, strlen(wrong), NULL, 0, &handle, error, 8));
    CHECK(strcmp(error, "line 2,") == 0 && error[8] == 'x');
    CHECK_CODE(ALERT_ESETTINGS, alert_create(wrong, strlen(wrong), NULL, 0, &handle, NULL, 0));
    /* A character is not cut. */
    CHECK_CODE(ALERT_ESETTINGS, alert_create("\xc3\xa4\xc3\xa4;", 5, NULL, 0, &handle, error, 41));
    CHECK(strcmp(error, "line 1, column 1: unknown directive \"\xc3\xa4") == 0);

    CHECK_CODE(ALERT_EARGUMENT, alert_board_size(SETTINGS, strlen(SETTINGS), NULL, error, sizeof(error)));
    CHECK_CODE(ALERT_ESETTINGS, alert_board_size(wrong, strlen(wrong), &size, NULL, 0));
    /* Every beginning of a text, and every byte of it replaced. */
    char text[sizeof(SETTINGS)];
    for (size_t n = 0; n < sizeof(SETTINGS) - 1; n++) {
        memcpy(text, SETTINGS, sizeof(SETTINGS));
        alert_board_size(text, n, &size, error, sizeof(error));
        for (int byte = 0; byte < 256; byte += 17) {
            text[n] = (char)byte;
            alert_board_size(text, sizeof(SETTINGS) - 1, &size, error, sizeof(error));
        }
    }
}

static void wrong_boards(void)
{
    alert_t *handle = NULL;
    char error[256] = "";
    size_t size = 0, len = strlen(SETTINGS);
    CHECK_CODE(ALERT_OK, alert_board_size(SETTINGS, len, &size, NULL, 0));
    char *board = calloc(1, size + 8);
    CHECK_CODE(ALERT_EARGUMENT, alert_create(SETTINGS, len, NULL, size, &handle, error, sizeof(error)));
    CHECK_CODE(ALERT_EARGUMENT, alert_create(SETTINGS, len, board, SIZE_MAX, &handle, error, sizeof(error)));
    CHECK_CODE(ALERT_EBOARD, alert_create(SETTINGS, len, board + 1, size, &handle, error, sizeof(error)));
    CHECK_PART(error, "aligned");
    CHECK_CODE(ALERT_EBOARD, alert_create(SETTINGS, len, board, 0, &handle, error, sizeof(error)));
    CHECK_CODE(ALERT_EBOARD, alert_create(SETTINGS, len, board, size - 8, &handle, error, sizeof(error)));
    CHECK_PART(error, "too small, it needs at least");
    CHECK_CODE(ALERT_OK, alert_create(SETTINGS, len, board, size, &handle, error, sizeof(error)));
    CHECK_CODE(ALERT_OK, alert_free(handle, 0));

    memset(board, 0x5a, size);
    CHECK_CODE(ALERT_EBOARD, alert_create(SETTINGS, len, board, size, &handle, error, sizeof(error)));
    CHECK_PART(error, "another version");
    free(board);
}

static void wrong_requests(void)
{
    alert_t *handle = created(SETTINGS);
    alert_attempt good = attempt("127.0.0.1:8081", 200);
    CHECK_CODE(ALERT_EARGUMENT, alert_put(handle, NULL));
    CHECK_CODE(ALERT_EARGUMENT, alert_put(handle, WRONG(3)));
    CHECK_CODE(ALERT_EARGUMENT, put(handle, NULL, 1, 200, 0));
    CHECK_CODE(ALERT_EARGUMENT, put(handle, &good, 0, 200, 0));
    CHECK_CODE(ALERT_EARGUMENT, put(handle, &good, SIZE_MAX, 200, 0));
    CHECK_CODE(ALERT_EARGUMENT, put(handle, WRONG(3), 1, 200, 0));
    CHECK_CODE(ALERT_EARGUMENT, put(handle, &good, 1, 1000, 0));
    CHECK_CODE(ALERT_EARGUMENT, put(handle, &good, 1, 200, UINT64_MAX));
    CHECK_CODE(ALERT_EARGUMENT, alert_tick(handle, UINT64_MAX));

    alert_attempt wrong[] = {good, good, good, good};
    wrong[0].address = NULL;
    wrong[1].pool_len = 1;
    wrong[2].address_len = SIZE_MAX;
    wrong[3].status = 1000;
    for (size_t n = 0; n < 4; n++) {
        alert_attempt attempts[2] = {good, wrong[n]};
        CHECK_CODE(ALERT_EARGUMENT, put(handle, attempts, 2, 200, 0));
    }

    alert_request request = {0};
    request.attempts = &good;
    request.attempts_len = 1;
    request.status = 200;
    CHECK_CODE(ALERT_EMONITOR, alert_put(handle, &request));
    request.monitor = "application";
    request.monitor_len = 11;
    CHECK_CODE(ALERT_EMONITOR, alert_put(handle, &request));
    request.release_len = 3;
    CHECK_CODE(ALERT_EARGUMENT, alert_put(handle, &request));

    CHECK_CODE(ALERT_EMONITOR, alert_put_nginx(handle, NULL, "a:1", "200", "0.001", NULL, NULL, 200));
    CHECK_CODE(ALERT_EARGUMENT, alert_put_nginx(handle, "app", "\xff", "200", "0.001", NULL, NULL, 200));
    CHECK_CODE(ALERT_EARGUMENT, alert_put_nginx(handle, "app", "a:1", "200", "0.001", NULL, NULL, 100000));
    CHECK_CODE(ALERT_OK, alert_put_nginx(handle, "app", ", , : : ,", ":,", "9.99,-", NULL, NULL, 200));

    /* None of these counted but the last, whose attempts have no status. */
    char *status = status_of(handle);
    CHECK_PART(status, "\"filled\":0");
    free(status);

    /* Times from the first to the last, forwards and backwards, and more attempts than are kept. */
    alert_attempt many[100];
    for (int n = 0; n < 100; n++) {
        many[n] = attempt(n % 2 ? "127.0.0.1:8081" : "127.0.0.1:8082", 500 + n % 5);
        many[n].time_ms = UINT32_MAX;
    }
    uint64_t times[] = {1, UINT64_C(253402300799999), 1000, UINT64_C(1790000000000), 2};
    for (size_t n = 0; n < sizeof(times) / sizeof(times[0]); n++) {
        CHECK_CODE(ALERT_OK, put(handle, many, 100, 502, times[n]));
        CHECK_CODE(ALERT_OK, alert_tick(handle, times[n]));
        CHECK_CODE(ALERT_OK, put_failover(handle, times[n]));
        free(status_of(handle));
    }
    char alert[8192];
    while (alert_poll(handle, alert, sizeof(alert), NULL) == ALERT_OK) {
    }
    CHECK_CODE(ALERT_OK, alert_free(handle, 0));
}

static void wrong_buffers(void)
{
    alert_t *handle = created(SETTINGS);
    char buffer[8] = "unchang";
    size_t needed = 0;
    CHECK_CODE(ALERT_EARGUMENT, alert_status(handle, NULL, 10, &needed));
    CHECK_CODE(ALERT_EARGUMENT, alert_status(handle, buffer, SIZE_MAX, &needed));
    CHECK_CODE(ALERT_EARGUMENT, alert_status(handle, buffer, sizeof(buffer), WRONG(1)));
    CHECK_CODE(ALERT_EBUFFER, alert_status(handle, buffer, sizeof(buffer), NULL));
    CHECK_CODE(ALERT_EBUFFER, alert_status(handle, buffer, 0, &needed));
    CHECK(needed > sizeof(buffer) && strcmp(buffer, "unchang") == 0);
    CHECK_CODE(ALERT_EARGUMENT, alert_poll(handle, NULL, 10, &needed));
    CHECK_CODE(ALERT_EARGUMENT, alert_log(handle, NULL, 10, &needed));
    CHECK_CODE(ALERT_OK, alert_free(handle, 0));
}

static void too_many_handles(void)
{
    alert_t *handles[65] = {NULL};
    char error[64] = "";
    int made = 0;
    while (alert_create(SETTINGS, strlen(SETTINGS), NULL, 0, &handles[made], error, sizeof(error)) == ALERT_OK) {
        made++;
        CHECK(made <= 64);
    }
    CHECK(made == 64 && handles[64] == NULL);
    CHECK_PART(error, "64 handles");
    for (int n = 0; n < 64; n++) {
        CHECK_CODE(ALERT_OK, alert_free(handles[n], 0));
    }
}

int main(void)
{
    for (int code = -20; code < 20; code++) {
        CHECK(strlen(alert_code_text(code)) > 0);
    }
    CHECK_PART(alert_code_text(12345), "no code");
    wrong_handles();
    wrong_settings();
    wrong_boards();
    wrong_requests();
    wrong_buffers();
    too_many_handles();
    return 0;
}
