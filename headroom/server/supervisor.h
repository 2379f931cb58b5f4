// headroom/server/supervisor.h - what a process owes the system around it: signals, limits, and systemd's notifications. On main's thread.
#pragma once

#include <string_view>

namespace headroom::server {

// SIGTERM, SIGINT and SIGHUP come to main's thread as readable bytes (signalfd, not blocking); every thread started later inherits the mask.
[[nodiscard]] int signals_descriptor();

// As many descriptors as the system lets this process have.
void raise_descriptor_limit();

// systemd's Type=notify and Type=notify-reload (sd_notify(3)); without a supervisor nothing happens.
void tell_supervisor(std::string_view state);

}  // namespace headroom::server
