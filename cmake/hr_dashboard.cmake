# The dashboard: dashboard/build.py has npm build it into build/dashboard, once for all presets, and writes a C++ file that holds it.
# Without npm, or with -DHR_DASHBOARD=OFF, the file holds nothing and `/` is a line of text.
option(HR_DASHBOARD "Build the dashboard (needs npm, and the registry once)" ON)
find_program(HR_NPM npm)

function(hr_dashboard target)
  set(made ${CMAKE_BINARY_DIR}/dashboard_assets.cc)
  set(sources)
  if(HR_DASHBOARD AND HR_NPM)
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/dashboard/src/* ${CMAKE_SOURCE_DIR}/dashboard/*.json ${CMAKE_SOURCE_DIR}/dashboard/*.ts
      ${CMAKE_SOURCE_DIR}/dashboard/*.html)
    set(mode --npm ${HR_NPM})
  else()
    message(STATUS "The dashboard is left out: no npm, or HR_DASHBOARD is off")
    set(mode --absent)
  endif()
  add_custom_command(OUTPUT ${made} COMMAND /usr/bin/python3 ${CMAKE_SOURCE_DIR}/dashboard/build.py ${mode} ${made}
    DEPENDS ${CMAKE_SOURCE_DIR}/dashboard/build.py ${sources} COMMENT "The dashboard" VERBATIM)
  target_sources(${target} PRIVATE ${made})
  set_source_files_properties(${made} PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
endfunction()
