// The forms that g++ 12 miscompiles (twice destroyed or moved bitwise): the compiler in use must get them right, though STYLE.md asks for
// names instead.
#include <memory>

#include "headroom/net/net_fixture.h"

namespace headroom::net {
namespace {

struct Parts {
  std::string name;
  std::shared_ptr<int> count;
};

Task<std::string> take(Parts parts) {
  co_await asio::post(co_await asio::this_coro::executor, kToken);
  co_return parts.name + std::to_string(*parts.count);
}

template <class F>
Task<std::string> call(F work) {
  co_await asio::post(co_await asio::this_coro::executor, kToken);
  co_return work();
}

class CoroutineForms : public NetTest {};

TEST_F(CoroutineForms, AggregatesCapturingLambdasAndConditionalsInsideAnAwaitAreDestroyedOnce) {
  auto count = std::make_shared<int>(7);
  run([&](TaskGroup&) -> Task<> {
    const std::string text = "a text too long to be kept inside of its string ";
    EXPECT_EQ(co_await take({text, count}), text + "7");
    EXPECT_EQ(co_await take(Parts{.name = text + text, .count = count}), text + text + "7");
    EXPECT_EQ(co_await call([text, count] { return text + std::to_string(*count); }), text + "7");
    EXPECT_EQ(co_await call([kept = std::make_unique<std::string>(text)] { return *kept; }), text);
    const bool yes = *count == 7;
    EXPECT_EQ(co_await take(yes ? Parts{text, count} : Parts{"no", count}), text + "7");
    EXPECT_EQ(yes ? co_await take({text, count}) : "no", text + "7");
  });
  EXPECT_EQ(count.use_count(), 1);
}

}  // namespace
}  // namespace headroom::net
