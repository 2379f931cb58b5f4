// headroom/edge/batch_part.h - the parts of a batch: from JSON to requests, from answers to JSON.
//
//   body    = [ part, ... ]
//   part    = {"method": "GET", "path": "/a?b=c", "headers": {"Name": "value"}, "body": ..., "base64": true}     only path is required
//             body: a string is sent as it is (of "base64": true, its bytes); any other JSON is sent as application/json
//   answer  = [ {"status": 200, "headers": {"Name": "value" or ["value", ...]}, "body": ..., "base64": true}, ... ]     in the same order
//             body: JSON stays JSON, other UTF-8 text is a string, the rest a string with "base64": true, nothing is null
//
// Owns: nothing. Worker: pure.
// Invariants: (1) a part that is no `refused` is fit for the wire: token, origin-form target without controls, fields by parser.h; (2) no
//   field that says who asks, from where, or how the message is framed comes from a part; (3) what write_answer() gives is one JSON value.
// Limits: BatchOptions; 32 arrays and objects within each other; of an answer's JSON the same.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "headroom/base/error.h"
#include "headroom/edge/inner_client.h"
#include "headroom/edge/options.h"
#include "headroom/http/message.h"

namespace headroom::edge {

// Why a part is answered here.
struct PartRefusal {
  unsigned status = 0;  // 0: it is not
  std::string_view code;
  std::string message;
};

struct BatchPart {
  std::string method = "GET";
  std::string path;  // with its query
  FieldTexts fields;
  std::string body;
  PartRefusal refusal;
};

// Errc::invalid: not such a list; overloaded: too many parts. `tier_header` is one more field that says who asks.
[[nodiscard]] Result<std::vector<BatchPart>> read_batch(std::string_view text,
                                                        const BatchOptions& options,
                                                        std::string_view tier_header);

// The fields of the batch's own request that its parts are sent with: those that say who asks and from where always, credentials, language
// and agent where the part has none of its own.
[[nodiscard]] FieldTexts inherited_fields(const http::RequestHead& batch,
                                          std::string_view tier_header);
void inherit(BatchPart& part, const FieldTexts& inherited);

// `answer` as JSON, without its Set-Cookie.
[[nodiscard]] std::string write_answer(const InnerAnswer& answer);
[[nodiscard]] std::string write_refusal(const PartRefusal& refusal);

// The Set-Cookie lines of a part's answer, for the batch's answer; a cookie without Path gets the one that it would have had by the part's
// path (RFC 6265 5.1.4).
[[nodiscard]] std::string cookie_lines(const InnerAnswer& answer, std::string_view path);

}  // namespace headroom::edge
