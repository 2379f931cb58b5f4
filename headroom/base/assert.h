// headroom/base/assert.h - HR_ASSERT(a == b): a bug ends the process, with its operands, in release too.
#pragma once

#include <fmt/format.h>

#include <source_location>
#include <string>

namespace headroom::assertion {

[[noreturn]] void failed(const char* expression, const std::string& operands,
                         std::source_location where);

template <class T>
std::string show(const T& value) {
  if constexpr (fmt::is_formattable<T>::value) {
    return fmt::format("{}", value);
  } else {
    return "?";
  }
}

struct Outcome {
  bool holds;
  std::string operands;
};

// What `Catch{}->*a` caught: the left operand.
template <class T>
struct Holder;

#define HR_ASSERT_OPERATOR(op)                                    \
  template <class T, class U>                                     \
  Outcome operator op(const Holder<T>& left, const U& right) {    \
    if (left.value op right) [[likely]]                           \
      return {true, {}};                                          \
    return {false, show(left.value) + " " #op " " + show(right)}; \
  }
template <class T>
struct Holder {
  const T& value;
  // A lone operand: HR_ASSERT(pointer).
  operator Outcome() const {  // NOLINT(google-explicit-constructor)
    if (static_cast<bool>(value)) return {true, {}};
    return {false, "false"};
  }
};
HR_ASSERT_OPERATOR(==)
HR_ASSERT_OPERATOR(!=)
HR_ASSERT_OPERATOR(<)
HR_ASSERT_OPERATOR(<=)
HR_ASSERT_OPERATOR(>)
HR_ASSERT_OPERATOR(>=)
#undef HR_ASSERT_OPERATOR

struct Catch {
  template <class T>
  Holder<T> operator->*(const T& value) const {
    return {value};
  }
};

}  // namespace headroom::assertion

#define HR_ASSERT(...)                                                 \
  do {                                                                 \
    const ::headroom::assertion::Outcome hr_outcome =                  \
        (::headroom::assertion::Catch{}->*__VA_ARGS__);                \
    if (!hr_outcome.holds) [[unlikely]]                                \
      ::headroom::assertion::failed(#__VA_ARGS__, hr_outcome.operands, \
                                    std::source_location::current());  \
  } while (false)
