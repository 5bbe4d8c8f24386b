# nginx from its source with the module, in the place of Debian's nginx in the image nginx-alert: `make image NGINX=...`
# puts the source into docker/nginx-source.
ARG SUITE=trixie
FROM nginx-alert-package:${SUITE} AS builder
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends make libpcre2-dev libssl-dev zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
COPY docker/nginx-source /nginx
# As Debian's is configured, as far as the image needs it.
RUN cd /nginx && configure=$(ls configure auto/configure 2>/dev/null | head -n 1) \
    && CARGO_TARGET_DIR=/build/target/deb/cargo "./$configure" --with-compat --with-threads --with-pcre-jit \
        --prefix=/usr/share/nginx --sbin-path=/usr/sbin/nginx --conf-path=/etc/nginx/nginx.conf \
        --modules-path=/usr/lib/nginx/modules --http-log-path=/var/log/nginx/access.log \
        --error-log-path=/var/log/nginx/error.log --pid-path=/run/nginx.pid --lock-path=/var/lock/nginx.lock \
        --http-client-body-temp-path=/var/lib/nginx/body --http-proxy-temp-path=/var/lib/nginx/proxy \
        --http-fastcgi-temp-path=/var/lib/nginx/fastcgi --http-uwsgi-temp-path=/var/lib/nginx/uwsgi \
        --http-scgi-temp-path=/var/lib/nginx/scgi \
        --with-http_ssl_module --with-http_v2_module --with-http_realip_module --with-http_auth_request_module \
        --with-http_stub_status_module --with-http_gzip_static_module --with-http_slice_module \
        --add-dynamic-module=/build/ngx_module > configure.log 2>&1 || { tail -n 20 configure.log; exit 1; }
RUN cd /nginx && make -f objs/Makefile -j2 binary modules > build.log 2>&1 || { tail -n 20 build.log; exit 1; }; \
    strip /nginx/objs/nginx && strip /nginx/objs/ngx_http_alert_module.so

FROM nginx-alert
# Debian's own binary and module go; its directories, and the libraries that both need, stay.
RUN dpkg --purge --force-depends libnginx-mod-http-alert nginx
COPY --from=builder /nginx/objs/nginx /usr/sbin/nginx
COPY --from=builder /nginx/objs/ngx_http_alert_module.so /usr/lib/nginx/modules/
