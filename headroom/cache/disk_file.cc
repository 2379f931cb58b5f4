#include "headroom/cache/disk_file.h"

#include <cstring>
#include <type_traits>

#include "headroom/base/hash.h"

namespace headroom::cache {
namespace {

constexpr std::string_view kMagic = "HRcache1";

struct HeadFields {
  std::uint64_t head_size, stamp, generation, seq;
  std::int64_t born_unix_ms;
  std::int64_t ttl_ms, stale_while_revalidate_ms, stale_if_error_ms, keep_ms;
  std::uint64_t size;
  std::uint32_t raw_size, metadata_size;
  std::uint16_t key_size, class_size, tag_count, space;
};
static_assert(std::is_trivially_copyable_v<HeadFields> &&
              std::has_unique_object_representations_v<HeadFields>);

constexpr unsigned kForms = 1U << 8U;                 // beside the space
constexpr std::size_t kFieldsAt = kMagic.size() + 8;  // behind the sum
constexpr std::int64_t kLongestMs = std::int64_t{100} * 365 * 24 * 3600 * 1000;

std::int64_t ms(Duration span) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(span).count();
}

std::unexpected<Error> torn(const char* what) { return fail(Errc::protocol, what); }

}  // namespace

std::string write_head(const CopyHead& head) {
  const Lifetimes& l = head.lifetimes;
  HeadFields fields{.head_size = 0,
                    .stamp = head.stamp,
                    .generation = head.generation,
                    .seq = head.seq,
                    .born_unix_ms = head.born_unix_ms,
                    .ttl_ms = ms(l.ttl),
                    .stale_while_revalidate_ms = ms(l.stale_while_revalidate),
                    .stale_if_error_ms = ms(l.stale_if_error),
                    .keep_ms = ms(l.keep),
                    .size = head.size,
                    .raw_size = head.raw_size,
                    .metadata_size = static_cast<std::uint32_t>(head.metadata.size()),
                    .key_size = static_cast<std::uint16_t>(head.key.size()),
                    .class_size = static_cast<std::uint16_t>(head.cls.size()),
                    .tag_count = static_cast<std::uint16_t>(head.tags.size()),
                    .space = static_cast<std::uint16_t>(static_cast<unsigned>(head.space) |
                                                        (head.forms ? kForms : 0U))};
  std::string out(kMagic);
  out.append(kFieldsAt - kMagic.size() + sizeof fields, '\0');
  out.append(head.key).append(head.metadata).append(head.cls);
  for (const std::string& tag : head.tags) {
    const auto size = static_cast<std::uint32_t>(tag.size());
    out.append(sizeof size, '\0');
    std::memcpy(out.data() + out.size() - sizeof size, &size, sizeof size);
    out.append(tag);
  }
  fields.head_size = out.size();
  std::memcpy(out.data() + kFieldsAt, &fields, sizeof fields);
  const std::uint64_t sum = hash64(std::string_view(out).substr(kFieldsAt));
  std::memcpy(out.data() + kMagic.size(), &sum, sizeof sum);
  return out;
}

Result<std::size_t> head_size(std::string_view start) {
  HeadFields fields;
  if (start.size() < kFieldsAt + sizeof fields || !start.starts_with(kMagic))
    return torn("no head");
  std::memcpy(&fields, start.data() + kFieldsAt, sizeof fields);
  if (fields.head_size < kFieldsAt + sizeof fields || fields.head_size > kHeadLimit)
    return torn("a head of an absurd size");
  return static_cast<std::size_t>(fields.head_size);
}

Result<CopyHead> parse_head(std::string_view bytes) {
  const auto size = head_size(bytes);
  if (!size || *size != bytes.size()) return torn("a head of another size");
  std::uint64_t sum = 0;
  std::memcpy(&sum, bytes.data() + kMagic.size(), sizeof sum);
  if (hash64(bytes.substr(kFieldsAt)) != sum) return torn("the head's sum is wrong");
  HeadFields f;
  std::memcpy(&f, bytes.data() + kFieldsAt, sizeof f);
  std::string_view rest = bytes.substr(kFieldsAt + sizeof f);
  if ((f.space & ~kForms) >= kSpaces || f.key_size == 0 || f.key_size > kKeyLimit ||
      f.tag_count > kTagsLimit)
    return torn("a head that says nonsense");
  for (const std::int64_t span :
       {f.ttl_ms, f.stale_while_revalidate_ms, f.stale_if_error_ms, f.keep_ms}) {
    if (span < 0 || span > kLongestMs) return torn("a head that says nonsense");
  }
  if (rest.size() < std::uint64_t{f.key_size} + f.metadata_size + f.class_size ||
      f.size > (std::uint64_t{1} << 48U))
    return torn("a head that says nonsense");
  const auto take = [&rest](std::size_t count) {
    std::string taken(rest.substr(0, count));
    rest.remove_prefix(count);
    return taken;
  };
  using std::chrono::milliseconds;
  CopyHead head{.stamp = f.stamp,
                .generation = f.generation,
                .seq = f.seq,
                .born_unix_ms = f.born_unix_ms,
                .lifetimes = {milliseconds(f.ttl_ms), milliseconds(f.stale_while_revalidate_ms),
                              milliseconds(f.stale_if_error_ms), milliseconds(f.keep_ms)},
                .size = f.size,
                .raw_size = f.raw_size,
                .space = static_cast<Space>(f.space & ~kForms),
                .forms = (f.space & kForms) != 0,
                .key = {},
                .metadata = {},
                .cls = {},
                .tags = {}};
  head.key = take(f.key_size);
  head.metadata = take(f.metadata_size);
  head.cls = take(f.class_size);
  for (std::uint16_t i = 0; i < f.tag_count; ++i) {
    std::uint32_t length = 0;
    if (rest.size() < sizeof length) return torn("a head that ends in its tags");
    std::memcpy(&length, rest.data(), sizeof length);
    rest.remove_prefix(sizeof length);
    if (rest.size() < length) return torn("a head that ends in its tags");
    head.tags.push_back(take(length));
  }
  if (!rest.empty()) return torn("a head with bytes behind it");
  return head;
}

std::uint64_t block_sum(std::string_view block, std::uint64_t generation, std::uint64_t index) {
  return hash64(block, generation * 1000003 + index);
}

}  // namespace headroom::cache
