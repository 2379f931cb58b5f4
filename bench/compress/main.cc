// bench/compress - what one core encodes in a second, per coding and level, beside zlib as nginx drives it. One JSON object on standard
// output; bench/compress/run makes the table. `--document FILE` writes the document instead.
#include <zlib.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <functional>
#include <vector>

#include "bench/compress/document.h"
#include "headroom/base/assert.h"
#include "headroom/base/clock.h"
#include "headroom/coding/coders.h"

namespace headroom::bench {
namespace {

using coding::Coders;
using coding::Coding;
using coding::Effort;
using coding::Flush;

// ngx_http_gzip_filter_module: a new state for each answer, windowBits 15, memLevel 9 (its defaults), the body in one buffer.
std::size_t as_nginx(int level, std::string_view body, std::string& out) {
  z_stream stream{};
  HR_ASSERT(deflateInit2(&stream, level, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) == Z_OK);
  out.resize(body.size());
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data()));
  stream.avail_in = static_cast<uInt>(body.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  HR_ASSERT(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  deflateEnd(&stream);
  return stream.total_out;
}

std::size_t as_stream(Coders& coders, Coding coding, std::string_view body, std::string& out) {
  auto lease = coders.encoder(coding);
  HR_ASSERT(lease.has_value());
  out.resize(body.size());
  const auto step = (*lease)->step(body, out, Flush::end);
  HR_ASSERT((step.has_value() && step->done));
  return step->produced;
}

struct Row {
  std::string name;
  std::function<std::size_t(std::string_view, std::string&)> encode;
  std::size_t bytes = 0;
  std::vector<double> microseconds{};  // of each round
};

Coders::Options with_level(Coding coding, int level) {
  coding::Levels levels;
  (coding == Coding::gzip ? levels.gzip : coding == Coding::br ? levels.br : levels.zstd) = level;
  return {.live = levels, .stream = levels};
}

std::vector<Row> make_rows() {
  std::vector<Row> rows;
  for (const int level : {1, 6}) {
    rows.push_back({fmt::format("nginx zlib {}", level),
                    [level](auto body, auto& out) { return as_nginx(level, body, out); }});
  }
  const auto add = [&rows](Coding coding, int level) {
    const auto coders = std::make_shared<Coders>(with_level(coding, level));
    rows.push_back({fmt::format("{} {}", to_string(coding), level), [=](auto body, auto& out) {
                      out.clear();
                      HR_ASSERT(coders->encode(coding, Effort::live, body, out));
                      return out.size();
                    }});
  };
  for (const int level : {1, 2, 3, 4, 5, 6, 9, 12}) add(Coding::gzip, level);
  for (const int level : {1, 2, 3, 4, 6, 9}) add(Coding::zstd, level);
  for (const int level : {1, 2, 3, 4, 5, 6}) add(Coding::br, level);
  const auto coders = std::make_shared<Coders>(Coders::Options{});
  for (const Coding coding : {Coding::gzip, Coding::zstd, Coding::br}) {
    rows.push_back({fmt::format("{} stream", to_string(coding)),
                    [=](auto body, auto& out) { return as_stream(*coders, coding, body, out); }});
  }
  return rows;
}

double microseconds(const Row& row, std::string_view body, Duration least) {
  std::string out;
  std::size_t count = 0;
  const TimePoint began = Clock::now();
  Duration took{};
  do {
    static_cast<void>(row.encode(body, out));
    ++count;
    took = elapsed(began, Clock::now());
  } while (took < least);
  return seconds(took) * 1e6 / static_cast<double>(count);
}

// Every encoding in turn in each round, so that a neighbour's burst hits all alike.
void measure(std::vector<Row>& rows, std::string_view body, int rounds, Duration each) {
  for (Row& row : rows) {
    std::string out;
    row.bytes = row.encode(body, out);
  }
  for (int round = 0; round < rounds; ++round) {
    for (Row& row : rows) row.microseconds.push_back(microseconds(row, body, each));
  }
}

void print(const std::vector<Row>& rows, std::size_t body_bytes) {
  fmt::print("{{\"body_bytes\": {}, \"rows\": [", body_bytes);
  for (const Row& row : rows) {
    fmt::print("{}{{\"name\": \"{}\", \"bytes\": {}, \"us\": [{:.2f}]}}",
               &row == rows.data() ? "" : ", ", row.name, row.bytes,
               fmt::join(row.microseconds, ", "));
  }
  fmt::print("]}}\n");
}

}  // namespace
}  // namespace headroom::bench

int main(int argc, char** argv) {
  using namespace headroom;  // NOLINT(google-build-using-namespace)
  CLI::App app("What one core encodes in a second.");
  std::size_t size = 31744;
  int rounds = 7;
  int each_ms = 20;
  std::string document;
  app.add_option("--size", size, "bytes of the JSON document");
  app.add_option("--rounds", rounds, "of all encodings in turn");
  app.add_option("--each-ms", each_ms, "for one encoding in one round");
  app.add_option("--document", document, "only write the document to this file");
  CLI11_PARSE(app, argc, argv);
  const std::string body = bench::Document::json(size);
  if (!document.empty()) {
    std::ofstream(document, std::ios::binary) << body;
    return 0;
  }
  auto rows = bench::make_rows();
  bench::measure(rows, body, rounds, std::chrono::milliseconds(each_ms));
  bench::print(rows, body.size());
}
