#include "headroom/load/answer_reader.h"

#include <algorithm>
#include <charconv>

#include "headroom/base/text.h"

namespace headroom::load {

namespace {

constexpr std::size_t kHeadLimit = 64U << 10U;
constexpr std::string_view kHeadEnd = "\r\n\r\n";

bool starts_with_ignoring_case(std::string_view line, std::string_view name) {
  return line.size() >= name.size() && text::equal_ignoring_case(line.substr(0, name.size()), name);
}

bool names(std::string_view list, std::string_view token) {
  return std::ranges::any_of(text::split(list, ','), [&](std::string_view part) {
    return text::equal_ignoring_case(part, token);
  });
}

}  // namespace

void AnswerReader::reset(Body body) {
  state_ = State::head;
  body_ = body;
  keeps_alive_ = true;
  chunked_ = false;
  has_length_ = false;
  status_ = 0;
  left_ = 0;
  body_bytes_ = 0;
  trailer_bytes_ = 0;
  partial_.clear();
}

std::size_t AnswerReader::fail() {
  state_ = State::broken;
  return 0;
}

std::size_t AnswerReader::take(std::string_view bytes) {
  std::size_t taken = 0;
  while (taken < bytes.size() && !done() && !broken()) {
    const std::string_view rest = bytes.substr(taken);
    switch (state_) {
      case State::head: taken += take_head(rest); break;
      case State::until_end: body_bytes_ += rest.size(); return bytes.size();
      case State::body:
      case State::chunk_data: {
        const auto part = std::min<std::uint64_t>(left_, rest.size());
        skip(part);
        taken += static_cast<std::size_t>(part);
        break;
      }
      default: taken += take_line(rest); break;
    }
  }
  return taken;
}

bool AnswerReader::take_end() {
  if (state_ == State::until_end) state_ = State::done;
  return done();
}

void AnswerReader::skip(std::uint64_t bytes) {
  left_ -= bytes;
  body_bytes_ += bytes;
  if (left_ > 0) return;
  state_ = state_ == State::body ? State::done : State::chunk_end;
}

std::size_t AnswerReader::take_head(std::string_view bytes) {
  if (partial_.empty()) {
    const auto end = bytes.find(kHeadEnd);
    if (end != std::string_view::npos) {
      read_head(bytes.substr(0, end + 2));
      return end + kHeadEnd.size();
    }
  }
  const std::size_t before = partial_.size();
  partial_ += bytes;
  const auto end = partial_.find(kHeadEnd, before < 3 ? 0 : before - 3);
  if (end == std::string::npos) return partial_.size() > kHeadLimit ? fail() : bytes.size();
  const std::string head = std::move(partial_);
  partial_.clear();
  read_head(std::string_view(head).substr(0, end + 2));
  return end + kHeadEnd.size() - before;
}

// `head` is the status line and the fields, each with its CRLF.
void AnswerReader::read_head(std::string_view head) {
  for (bool first = true; !head.empty(); first = false) {
    const auto end = head.find('\n');
    if (end == 0 || head[end - 1] != '\r') return void(fail());
    const std::string_view line = head.substr(0, end - 1);
    if (!(first ? read_status(line) : read_field(line))) return void(fail());
    head.remove_prefix(end + 1);
  }
  frame();
}

// "HTTP/1.1 200 OK"; HTTP/1.0 closes unless it says otherwise.
bool AnswerReader::read_status(std::string_view line) {
  if (!line.starts_with("HTTP/1.") || line.size() < 12 || line[8] != ' ') return false;
  const auto status = text::to_u64(line.substr(9, 3));
  if (!status || *status < 100 || *status > 599 || (line.size() > 12 && line[12] != ' '))
    return false;
  status_ = static_cast<unsigned>(*status);
  keeps_alive_ = line[7] != '0';
  return true;
}

bool AnswerReader::read_field(std::string_view line) {
  constexpr std::string_view kLength = "content-length:";
  constexpr std::string_view kCoding = "transfer-encoding:";
  constexpr std::string_view kConnection = "connection:";
  if (line.empty()) return false;
  const char first = text::lower(line.front());
  if (first == 'c' && starts_with_ignoring_case(line, kLength)) {
    const auto length = text::to_u64(text::trimmed(line.substr(kLength.size())));
    if (!length || (has_length_ && *length != left_)) return false;
    has_length_ = true;
    left_ = *length;
  } else if (first == 'c' && starts_with_ignoring_case(line, kConnection)) {
    const std::string_view options = line.substr(kConnection.size());
    if (names(options, "close")) keeps_alive_ = false;
    if (names(options, "keep-alive")) keeps_alive_ = true;
  } else if (first == 't' && starts_with_ignoring_case(line, kCoding)) {
    if (!names(line.substr(kCoding.size()), "chunked")) return false;
    chunked_ = true;
  }
  return true;
}

void AnswerReader::frame() {
  if (status_ < 200) {  // an interim answer: the real one follows
    if (status_ == 101)
      fail();
    else
      reset(body_);
  } else if (body_ == Body::none || status_ == 204 || status_ == 304) {
    state_ = State::done;
  } else if (chunked_) {
    state_ = has_length_ ? State::broken : State::chunk_size;
  } else if (has_length_) {
    state_ = left_ == 0 ? State::done : State::body;
  } else {
    keeps_alive_ = false;
    state_ = State::until_end;
  }
}

std::size_t AnswerReader::take_line(std::string_view bytes) {
  const auto end = bytes.find('\n');
  if (end == std::string_view::npos) {
    partial_ += bytes;
    return partial_.size() > kHeadLimit ? fail() : bytes.size();
  }
  std::string line = std::move(partial_);
  partial_.clear();
  line += bytes.substr(0, end);
  if (line.empty() || line.back() != '\r') return fail();
  line.pop_back();
  read_line(line);
  return end + 1;
}

void AnswerReader::read_line(std::string_view line) {
  if (state_ == State::chunk_end) {
    state_ = line.empty() ? State::chunk_size : State::broken;
  } else if (state_ == State::trailer) {
    trailer_bytes_ += line.size();
    if (line.empty())
      state_ = State::done;
    else if (trailer_bytes_ > kHeadLimit)
      fail();
  } else {
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), left_, 16);
    const bool whole = end == line.data() + line.size() || *end == ';';
    if (error != std::errc{} || !whole)
      fail();
    else
      state_ = left_ == 0 ? State::trailer : State::chunk_data;
  }
}

}  // namespace headroom::load
