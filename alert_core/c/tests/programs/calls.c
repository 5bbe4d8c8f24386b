/* Without threads: the program puts, the library judges within the call, the program polls. */

#include "check.h"

#define T0 UINT64_C(1790000000000)

static void a_failover_is_polled_once(void)
{
    alert_t *handle = created(SETTINGS);
    char alert[4096];
    size_t needed = 0;
    CHECK_CODE(ALERT_EMPTY, alert_poll(handle, alert, sizeof(alert), &needed));
    for (int n = 0; n < 10; n++) {
        CHECK_CODE(ALERT_OK, put_answer(handle, 200, T0 + n));
    }
    CHECK_CODE(ALERT_OK, put_failover(handle, T0 + 1000));
    CHECK_CODE(ALERT_EMPTY, alert_poll(handle, alert, sizeof(alert), &needed));
    CHECK_CODE(ALERT_OK, put_failover(handle, T0 + 1001));

    CHECK_CODE(ALERT_EBUFFER, alert_poll(handle, NULL, 0, &needed));
    CHECK(needed > 100 && needed < sizeof(alert));
    memset(alert, 'x', sizeof(alert));
    CHECK_CODE(ALERT_EBUFFER, alert_poll(handle, alert, needed - 1, NULL));
    CHECK(alert[0] == 'x');
    CHECK_CODE(ALERT_OK, alert_poll(handle, alert, needed, &needed));
    CHECK(strlen(alert) + 1 == needed && alert[needed] == 'x');
    CHECK_PART(alert, "\"kind\":\"failover\"");
    CHECK_PART(alert, "\"time\":\"2026-09-21T");
    CHECK_CODE(ALERT_EMPTY, alert_poll(handle, alert, sizeof(alert), &needed));

    for (int n = 0; n < 30; n++) {
        CHECK_CODE(ALERT_OK, put_answer(handle, 200, T0 + 10000 + 100 * n));
    }
    CHECK_CODE(ALERT_OK, alert_poll(handle, alert, sizeof(alert), &needed));
    CHECK_PART(alert, "\"kind\":\"failback\"");
    CHECK_CODE(ALERT_OK, alert_flush(handle, 0));
    CHECK_CODE(ALERT_OK, alert_free(handle, 0));
}

static void the_rate_fires_at_the_first_error_above_its_limit(void)
{
    alert_t *handle = created(SETTINGS);
    char alert[4096];
    for (int n = 0; n < 5; n++) {
        CHECK_CODE(ALERT_OK, put_answer(handle, 500, 0));
    }
    CHECK_CODE(ALERT_EMPTY, alert_poll(handle, alert, sizeof(alert), NULL));
    CHECK_CODE(ALERT_OK, put_answer(handle, 500, 0));
    CHECK_CODE(ALERT_OK, alert_poll(handle, alert, sizeof(alert), NULL));
    CHECK_PART(alert, "\"kind\":\"error_rate\"");
    CHECK_PART(alert, "(6 errors)");
    char line[1024];
    CHECK_CODE(ALERT_OK, alert_log(handle, line, sizeof(line), NULL));
    CHECK_PART(line, "warn: High upstream 5xx rate");
    CHECK_CODE(ALERT_EMPTY, alert_log(handle, line, sizeof(line), NULL));
    CHECK_CODE(ALERT_OK, alert_free(handle, 0));
}

static void time_alone_ends_an_incident(void)
{
    alert_t *handle = created("alert_monitor app { window 50 max_age=1m; error_rate 10%; }");
    char alert[4096];
    for (int n = 0; n < 6; n++) {
        CHECK_CODE(ALERT_OK, put_answer(handle, 500, T0));
    }
    CHECK_CODE(ALERT_OK, alert_poll(handle, alert, sizeof(alert), NULL));
    CHECK_CODE(ALERT_OK, alert_tick(handle, T0 + 59000));
    CHECK_CODE(ALERT_EMPTY, alert_poll(handle, alert, sizeof(alert), NULL));
    CHECK_CODE(ALERT_OK, alert_tick(handle, T0 + 62000));
    CHECK_CODE(ALERT_OK, alert_poll(handle, alert, sizeof(alert), NULL));
    CHECK_PART(alert, "\"status\":\"resolved\"");
    CHECK_CODE(ALERT_OK, alert_free(handle, 0));
}

static void pools_go_by_name_and_releases_are_shown(void)
{
    alert_t *handle = created("alert_monitor app { active blue; }");
    alert_attempt named = {0};
    named.pool = "blue";
    named.pool_len = 4;
    named.status = 200;
    alert_request request = {0};
    request.monitor = "app";
    request.monitor_len = 3;
    request.attempts = &named;
    request.attempts_len = 1;
    request.status = 200;
    request.release = "v7.1-and-more";
    request.release_len = 4;
    CHECK_CODE(ALERT_OK, alert_put(handle, &request));
    char *status = status_of(handle);
    CHECK_PART(status, "\"serving_pool\":\"blue\"");
    CHECK_PART(status, "\"release\":\"v7.1\"");
    free(status);

    /* What a caller knows of nginx's variables says the same. */
    CHECK_CODE(ALERT_OK, alert_put_nginx(handle, "app", "127.0.0.1:1, 127.0.0.1:2", "502, 200", "0.001, 0.020",
                                         "green", "v8", 200));
    CHECK_CODE(ALERT_OK, alert_put_nginx(handle, "app", NULL, NULL, NULL, NULL, NULL, 200));
    CHECK_CODE(ALERT_OK, alert_put_nginx(handle, "app", "127.0.0.1:2", "-", "0.100", NULL, NULL, 499));
    status = status_of(handle);
    CHECK_PART(status, "\"release\":\"v8\"");
    CHECK_PART(status, "\"filled\":2");
    CHECK_PART(status, "\"retried\":1");
    free(status);
    CHECK_CODE(ALERT_OK, alert_free(handle, 0));
}

int main(void)
{
    a_failover_is_polled_once();
    the_rate_fires_at_the_first_error_above_its_limit();
    time_alone_ends_an_incident();
    pools_go_by_name_and_releases_are_shown();
    puts(alert_version());
    return 0;
}
