# Many hosts on one machine.

# How many; the rules are measured with 1,000.
HOSTS ?= 20

.PHONY: fleet
fleet: test-module test-packages ## [HOSTS=20] real nginx, Prometheus and Alertmanager: incidents, and what is seen of each
	@$(fleet) story $(HOSTS)

.PHONY: fleet-cost
fleet-cost: HOSTS = 1000
fleet-cost: test-module test-packages ## How long Prometheus evaluates the rules of [HOSTS=1000]
	@$(fleet) cost $(HOSTS)

fleet = TEST_NGINX="$(NGINX)" TEST_NGINX_MODULE="$(test_module)" $(CARGO) run --quiet --package fleet --
