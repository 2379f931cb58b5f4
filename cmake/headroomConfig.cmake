# find_package(headroom): the rooms as targets headroom::cache, headroom::net and so on. Everything they need is in Debian 12 (tools/install-packages).
include(${CMAKE_CURRENT_LIST_DIR}/hr_dependencies.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/headroomTargets.cmake)
