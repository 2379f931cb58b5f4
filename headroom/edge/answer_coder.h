// headroom/edge/answer_coder.h - one worker's encoding of answers on their way from a server to the client, and the ETags it gives them.
//
// Owns: the worker's contexts of codings. Borrows: Encodings; request and connection of each call. Worker: one.
// Invariants: (1) a body that is here as a whole, or is announced, small and here within kQuiet, is encoded at once and has a Content-Length;
//   any other is encoded as it comes; (2) what a server has sent is out after kQuiet at the latest, and after each piece in an event stream; (3) nothing is
//   read that the client does not take: at most one piece lies encoded and unsent.
// Limits: bodies up to kWhole at once; CompressOptions::streams streams at a time, beyond which answers go out plain.
#pragma once

#include <string>
#include <string_view>

#include "headroom/coding/coders.h"
#include "headroom/edge/coded.h"
#include "headroom/edge/encodings.h"
#include "headroom/edge/request.h"
#include "headroom/http/client.h"

namespace headroom::edge {

// What one worker counts; by coding.
struct CodingCells {
  std::array<metrics::Cell*, coding::kCodings> answers{};
  std::array<metrics::Cell*, coding::kCodings> bytes_in{};
  std::array<metrics::Cell*, coding::kCodings> bytes_out{};
  metrics::Cell* tagged = nullptr;
  metrics::Cell* confirmed = nullptr;
};
[[nodiscard]] CodingCells coding_cells(metrics::Registry& registry, std::size_t worker);

class AnswerCoder {
 public:
  static constexpr std::uint64_t kWhole = 128U << 10U;  // some 0.25 ms of a worker's time
  static constexpr Duration kQuiet = 40ms;

  // `encodings`: who encodes what is stored; null: there is no cache.
  AnswerCoder(const CompressOptions& options, CodingCells cells, Encodings* encodings);
  AnswerCoder(const AnswerCoder&) = delete;
  AnswerCoder& operator=(const AnswerCoder&) = delete;

  // Whether the plan needs relay(); else the answer is passed on with another head.
  [[nodiscard]] static bool has_work(const Plan& plan, const http::ResponseHead& head) {
    return head.body != http::Body::none && (plan.is_coded() || plan.tagged || plan.confirmed);
  }
  // The answer whose head is there. False: it could not be carried to its end.
  [[nodiscard]] net::Task<bool> relay(Request& request, http::ClientConnection& connection,
                                      Plan plan);

  // --- for whom has the body already
  // What is stored of an object besides its plain bytes.
  struct Form {
    std::optional<std::string_view> bytes;  // holds as long as the object
    bool is_useless = false;                // send the plain bytes
  };
  // Counted, if it is there; else it may be ordered.
  [[nodiscard]] Form form(const cache::ObjectRef& object, coding::Coding coding);
  // Appended to `out`, and counted. False: it does not get smaller.
  [[nodiscard]] bool encode(coding::Coding coding, std::string_view body, std::string& out);
  [[nodiscard]] Result<coding::Coders::EncoderLease> encoder(coding::Coding coding);
  // A piece through the encoder to the client.
  [[nodiscard]] net::Task<Result<>> send(http::Exchange& exchange, coding::Encoder& encoder,
                                         std::string_view piece, coding::Flush flush);
  void count(coding::Coding coding, std::uint64_t plain, std::uint64_t coded);
  void count_confirmed() { cells_.confirmed->add(); }

 private:
  [[nodiscard]] net::Task<bool> relay_here(Request& request, http::ClientConnection& connection,
                                           Plan plan);
  [[nodiscard]] net::Task<bool> relay_arriving(Request& request, http::ClientConnection& connection,
                                               Plan plan);
  [[nodiscard]] net::Task<bool> relay_unannounced(Request& request,
                                                  http::ClientConnection& connection, Plan plan);
  [[nodiscard]] net::Task<bool> stream(Request& request, http::ClientConnection& connection,
                                       Plan plan, std::string_view begun);
  [[nodiscard]] net::Task<bool> confirm(Request& request, http::ClientConnection& connection,
                                        Plan plan);
  [[nodiscard]] std::string_view begin_whole(Request& request, const http::ResponseHead& head,
                                             Plan plan, std::string_view body, std::string& coded);

  coding::Coders coders_;
  const CodingCells cells_;
  Encodings* const encodings_;
};

}  // namespace headroom::edge
