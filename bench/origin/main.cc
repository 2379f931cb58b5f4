// headroom-origin: the benches' origin server as a program. Prints "origin: listening on
// 127.0.0.1:PORT".
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>

#include "bench/origin/origin.h"

int main(int argc, char** argv) {
  std::uint16_t port = 0;
  CLI::App app("Fixed answers over HTTP/1.1 at the least cost: /1k, /100k, /<n>, ?delay_ms=100");
  app.add_option("--port", port, "the port on 127.0.0.1; 0 = any free one");
  CLI11_PARSE(app, argc, argv);
  std::signal(SIGPIPE, SIG_IGN);
  auto origin = headroom::bench::Origin::listen(port);
  if (!origin) {
    std::fprintf(stderr, "headroom-origin: %s\n", origin.error().message.c_str());
    return 1;
  }
  std::printf("origin: listening on 127.0.0.1:%u\n", (*origin)->port());
  std::fflush(stdout);
  (*origin)->run();
}
