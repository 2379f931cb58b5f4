// bench/codec - what parsing and writing HTTP/1 heads costs a message, in ns of one core. No peer: the proxy's comparison is bench/proxy.
#include <benchmark/benchmark.h>

#include <string>
#include <string_view>

#include "headroom/http/chunked.h"
#include "headroom/http/parser.h"
#include "headroom/http/path.h"
#include "headroom/http/writer.h"

namespace headroom::http {
namespace {

constexpr std::string_view kBrowserGet =
    "GET /bookings/2024/06?location=12&page=3 HTTP/1.1\r\n"
    "Host: app.example.com\r\n"
    "Connection: keep-alive\r\n"
    "Upgrade-Insecure-Requests: 1\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Safari/537.36\r\n"
    "Accept: "
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/"
    "*;q=0.8\r\n"
    "Sec-Fetch-Site: same-origin\r\n"
    "Sec-Fetch-Mode: navigate\r\n"
    "Sec-Fetch-Dest: document\r\n"
    "Referer: https://app.example.com/bookings\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n"
    "Cookie: session=7f3c1b0a9d8e4f6aa1b2c3d4e5f60718; theme=dark; "
    "_ga=GA1.1.123456789.1718000000\r\n"
    "\r\n";

constexpr std::string_view kLoadToolGet =
    "GET /1k HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: wrk\r\nAccept: */*\r\n\r\n";

constexpr std::string_view kUpstreamAnswer =
    "HTTP/1.1 200 OK\r\n"
    "date: Tue, 21 Nov 2024 10:00:00 GMT\r\n"
    "server: uvicorn\r\n"
    "content-length: 1024\r\n"
    "content-type: application/json\r\n"
    "cache-control: private, max-age=0\r\n"
    "vary: Accept-Encoding\r\n"
    "x-process-time: 0.0021\r\n"
    "\r\n";

void parse_request(benchmark::State& state, std::string_view bytes) {
  RequestHead head;
  const HeadLimits limits;
  for (auto _ : state) {
    ScanState scan;
    const Parsed parsed = parse_request_head(bytes, limits, scan, head);
    if (parsed.size != bytes.size()) state.SkipWithError("not parsed");
    benchmark::DoNotOptimize(head);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes.size()) * state.iterations());
}

void parse_response(benchmark::State& state, std::string_view bytes) {
  ResponseHead head;
  const HeadLimits limits;
  for (auto _ : state) {
    ScanState scan;
    const Parsed parsed = parse_response_head(bytes, limits, scan, Method::get, head);
    if (parsed.size != bytes.size()) state.SkipWithError("not parsed");
    benchmark::DoNotOptimize(head);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes.size()) * state.iterations());
}

// What a proxy writes upstream for the browser's request: its line, its fields and two of ours.
void forward_request(benchmark::State& state) {
  RequestHead head;
  ScanState scan;
  static_cast<void>(parse_request_head(kBrowserGet, {}, scan, head));
  std::string out;
  for (auto _ : state) {
    out.clear();
    HeadWriter writer(out);
    writer.request_line(head.method_text, head.path_and_query);
    writer.forward(head.fields);
    writer.field(Name::x_forwarded_for, "192.0.2.1");
    writer.field(Name::x_forwarded_proto, "https");
    benchmark::DoNotOptimize(writer.end());
  }
}

void write_response(benchmark::State& state) {
  std::string out;
  const HttpDate date(std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()));
  for (auto _ : state) {
    out.clear();
    HeadWriter writer(out);
    writer.status_line(200);
    writer.framing(Body::length, 1024);
    writer.field(Name::content_type, "application/json");
    writer.field(Name::date, date.view());
    benchmark::DoNotOptimize(writer.end());
  }
}

void read_chunk_of_4_kib(benchmark::State& state) {
  const std::string bytes = std::string(ChunkHeader(4096).view()) + std::string(4096, 'x') + "\r\n";
  ChunkedReader reader;
  for (auto _ : state) {
    for (std::string_view left = bytes; !left.empty();) {
      const auto step = reader.step(left);
      left.remove_prefix(step.consumed);
    }
  }
}

void normalise_plain_path(benchmark::State& state) {
  std::string scratch;
  std::string_view path = "/bookings/2024/06";
  for (auto _ : state) {
    benchmark::DoNotOptimize(path);
    benchmark::DoNotOptimize(normalised_path(path, scratch));
  }
}

BENCHMARK_CAPTURE(parse_request, browser_get_12_fields, kBrowserGet);
BENCHMARK_CAPTURE(parse_request, load_tool_get_3_fields, kLoadToolGet);
BENCHMARK_CAPTURE(parse_response, upstream_7_fields, kUpstreamAnswer);
BENCHMARK(forward_request);
BENCHMARK(write_response);
BENCHMARK(read_chunk_of_4_kib);
BENCHMARK(normalise_plain_path);

}  // namespace
}  // namespace headroom::http

BENCHMARK_MAIN();
