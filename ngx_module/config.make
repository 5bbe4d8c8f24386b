# How nginx's makefile has cargo build the library. cargo itself knows what has changed, so it is always asked.

case $NGX_OBJS in
    /*) ngx_alert_objs=$NGX_OBJS ;;
    *) ngx_alert_objs=$PWD/$NGX_OBJS ;;
esac

cat << END                                                    >> $NGX_MAKEFILE

.PHONY:	$ngx_alert_library

$ngx_alert_library:
	NGINX_SOURCE_DIR="$PWD" NGINX_BUILD_DIR="$ngx_alert_objs" ${NGX_CARGO:-cargo} rustc --locked \\
		--manifest-path "$ngx_addon_dir/Cargo.toml" --lib --crate-type staticlib --no-default-features \\
		--profile $ngx_alert_profile --target-dir "$ngx_alert_target_dir"

$NGX_OBJS/ngx_http_alert_module.so:	$ngx_alert_library

END
