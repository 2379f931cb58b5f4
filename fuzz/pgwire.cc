#include "fuzz/input.h"
#include "headroom/pgwire/messages.h"
#include "headroom/pgwire/startup.h"

// Every reader of the protocol over the same bytes: none may read outside of them, and what was read is written back as it was.
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headroom::pgwire;
  const std::string_view bytes = input_text(data, size);
  Frame frame;
  for (std::string_view left = bytes;
       find_frame(left, frame) == Found::frame && frame.size <= left.size();
       left.remove_prefix(frame.size)) {
    const std::string_view body = left.substr(kHeader, frame.body());
    (void)parse_report(body);
    (void)parse_ready(body);
    (void)parse_parameter_status(body);
    (void)parse_backend_key(body);
    (void)parse_row(body);
    (void)parse_target(body);
    if (const auto parse = parse_parse(body)) {
      std::string again;
      append_parse(again, parse->name, parse->query, parse->types);
      if (std::string_view(again).substr(kHeader) != body) __builtin_trap();
    }
    if (const auto bind = parse_bind(body);
        bind && bind->portal.size() + bind->statement.size() + bind->rest.size() + 2 != body.size())
      __builtin_trap();
  }
  if (bytes.size() >= 4) {
    if (const auto length = startup_size(bytes); length && *length <= bytes.size())
      (void)parse_startup(bytes.substr(0, *length));
    (void)parse_startup(bytes);
  }
  return 0;
}
