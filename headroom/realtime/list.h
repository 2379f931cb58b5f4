// headroom/realtime/list.h - lists whose links lie in their items: joining and leaving cost no memory and no search.
//
// Owns: nothing. Worker: one.
// Invariants: (1) an item is in at most one list for each of its hooks; (2) an item leaves its lists before it ends.
#pragma once

#include <cstddef>
#include <utility>

#include "headroom/base/assert.h"

namespace headroom::realtime {

template <class T>
struct Hook {
  T* previous = nullptr;
  T* next = nullptr;
  void* list = nullptr;  // the one it is in

  [[nodiscard]] bool linked() const { return list != nullptr; }
};

template <class T, Hook<T> T::* kHook>
class List {
 public:
  List() = default;
  List(const List&) = delete;
  List& operator=(const List&) = delete;

  [[nodiscard]] bool empty() const { return first_ == nullptr; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] T* front() const { return first_; }
  [[nodiscard]] static T* after(const T& item) { return (item.*kHook).next; }
  [[nodiscard]] bool holds(const T& item) const { return (item.*kHook).list == this; }

  void push_back(T& item) {
    Hook<T>& hook = item.*kHook;
    HR_ASSERT(!hook.linked());
    hook = {last_, nullptr, this};
    (last_ == nullptr ? first_ : (last_->*kHook).next) = &item;
    last_ = &item;
    ++size_;
  }
  void remove(T& item) {
    Hook<T>& hook = item.*kHook;
    HR_ASSERT(hook.list == this);
    (hook.previous == nullptr ? first_ : (hook.previous->*kHook).next) = hook.next;
    (hook.next == nullptr ? last_ : (hook.next->*kHook).previous) = hook.previous;
    hook = {};
    --size_;
  }
  // Out of whatever list it is in.
  static void unlink(T& item) {
    if ((item.*kHook).linked()) static_cast<List*>((item.*kHook).list)->remove(item);
  }
  void move_here(T& item) {
    unlink(item);
    push_back(item);
  }

 private:
  T* first_ = nullptr;
  T* last_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace headroom::realtime
