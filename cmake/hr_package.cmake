# cpack --config build/release/CPackConfig.cmake: headroom_VERSION_ARCHITECTURE.deb, with the binary, its unit, settings and documents
# (deploy/README.md). Files outside the prefix are only in the package, never in `cmake --install`.
set(hr_deploy ${CMAKE_SOURCE_DIR}/deploy)
function(hr_package_files destination)
  install(FILES ${ARGN} DESTINATION ${destination} COMPONENT package EXCLUDE_FROM_ALL)
endfunction()

set(hr_documents share/doc/headroom)
file(GLOB hr_pages CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/docs/*.md)
hr_package_files(${hr_documents} ${hr_pages} ${CMAKE_SOURCE_DIR}/README.md ${CMAKE_SOURCE_DIR}/CHANGELOG.md)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION ${hr_documents} RENAME copyright COMPONENT package EXCLUDE_FROM_ALL)
hr_package_files(/etc/headroom ${hr_deploy}/headroom.toml)
install(FILES ${hr_deploy}/debian/headroom.default DESTINATION /etc/default RENAME headroom PERMISSIONS OWNER_READ OWNER_WRITE
  COMPONENT package EXCLUDE_FROM_ALL)  # it may hold secrets; whose mode an admin changes, dpkg keeps
# One text, two names: an instance takes over from the other.
hr_package_files(/lib/systemd/system ${hr_deploy}/systemd/headroom.service)
install(FILES ${hr_deploy}/systemd/headroom.service DESTINATION /lib/systemd/system RENAME headroom@.service COMPONENT package
  EXCLUDE_FROM_ALL)

file(WRITE ${CMAKE_BINARY_DIR}/package/conffiles "/etc/headroom/headroom.toml\n/etc/default/headroom\n")
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME headroom)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_VENDOR "the Headroom project")
set(CPACK_PACKAGE_CONTACT "the Headroom project <headroom@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "balancing, caching and protection in front of a web application")
set(CPACK_PACKAGE_DESCRIPTION "One program in front of, behind and beside a web application: HTTP proxy with a cache, limits and batching;
PostgreSQL pool; real-time hub; task server; health, metrics and an admin API.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL package)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION httpd)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "passwd")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
  "${hr_deploy}/debian/postinst;${hr_deploy}/debian/prerm;${hr_deploy}/debian/postrm;${CMAKE_BINARY_DIR}/package/conffiles")
include(CPack)
