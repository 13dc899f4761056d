# cmake --install and the Debian package: `cpack -G DEB` in a release build. What it holds is looked at, and installed into a clean root,
# by tests/pack/test_package.py.
if(CMAKE_INSTALL_PREFIX_INITIALIZED_TO_DEFAULT)
  set(CMAKE_INSTALL_PREFIX /usr CACHE PATH "where it is installed; the units name /usr/bin/penstock" FORCE)
endif()
set(doc share/doc/penstock)
set(made ${CMAKE_BINARY_DIR}/package)

install(TARGETS penstock RUNTIME DESTINATION bin)
file(GLOB units ${CMAKE_SOURCE_DIR}/ops/systemd/penstock*)
install(FILES ${units} DESTINATION lib/systemd/system)
install(FILES ops/package/sysusers.conf DESTINATION lib/sysusers.d RENAME penstock.conf)
install(FILES ops/package/tmpfiles.conf DESTINATION lib/tmpfiles.d RENAME penstock.conf)
install(FILES README.md ARCHITECTURE.md CHANGELOG.md queues/PROTOCOL.md DESTINATION ${doc})
install(DIRECTORY docs/guides ops/runbooks DESTINATION ${doc})
install(FILES ops/redis.conf ops/examples/haproxy.cfg ops/examples/stunnel-redis.conf ${made}/settings.conf DESTINATION ${doc}/examples)
install(DIRECTORY jobs/custom/examples/ DESTINATION ${doc}/examples/handlers)
install(DIRECTORY ops/prometheus ops/grafana ops/keda DESTINATION ${doc}/examples)

# What the program says of itself.
set(pages)
function(page file words)
  add_custom_command(OUTPUT ${made}/${file} COMMAND $<TARGET_FILE:penstock> ${words} ${ARGN} > ${made}/${file} DEPENDS penstock VERBATIM)
  set(pages ${pages} ${made}/${file} PARENT_SCOPE)
endfunction()
page(penstock.1 man)
page(settings.conf config)
page(penstock completion bash)
page(_penstock completion zsh)
page(penstock.fish completion fish)
add_custom_command(OUTPUT ${made}/penstock.1.gz COMMAND gzip -9nfk ${made}/penstock.1 DEPENDS ${made}/penstock.1 VERBATIM)
add_custom_target(pages ALL DEPENDS ${pages} ${made}/penstock.1.gz)
install(FILES ${made}/penstock.1.gz DESTINATION share/man/man1)
install(FILES ${made}/penstock DESTINATION share/bash-completion/completions)
install(FILES ${made}/_penstock DESTINATION share/zsh/vendor-completions)
install(FILES ${made}/penstock.fish DESTINATION share/fish/vendor_completions.d)
install(FILES ops/package/penstock.conf DESTINATION /etc/penstock)

# ---- Debian ----
string(TIMESTAMP PENSTOCK_DATE "%a, %d %b %Y %H:%M:%S +0000" UTC) # SOURCE_DATE_EPOCH, where it is set
configure_file(ops/package/changelog.in ${made}/changelog @ONLY)
execute_process(COMMAND gzip -9nfk ${made}/changelog COMMAND_ERROR_IS_FATAL ANY)
install(FILES ${made}/changelog.gz ops/package/copyright DESTINATION ${doc})

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_VENDOR Penstock)
set(CPACK_PACKAGE_CONTACT "Penstock maintainers <maintainers@penstock.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "worker-pool job processor and commerce backend on Redis Streams and Postgres")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "Penstock takes jobs, orders, payments and notifications over HTTP, carries
them through Redis Streams to workers, and lets their effects happen once,
in Postgres. Operators scale, pause and replay; metrics say what waits and
why.
.
This package has the API, the scheduler, the workers and the operators'
command in one program, and their units for systemd. Nothing is started
until it is configured: see /usr/share/doc/penstock/guides/install.md.")
set(CPACK_STRIP_FILES ON)
set(CPACK_SET_DESTDIR ON) # for /etc
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "systemd | systemd-standalone-sysusers, systemd | systemd-standalone-tmpfiles, tzdata")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "redis-server (>= 5:7.0), postgresql-15, haproxy")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_SOURCE_DIR}/ops/package/conffiles ${CMAKE_SOURCE_DIR}/ops/package/postinst
                                       ${CMAKE_SOURCE_DIR}/ops/package/prerm ${CMAKE_SOURCE_DIR}/ops/package/postrm)
include(CPack)
