#pragma once
// What happened on each local day by event type and name, as the daily sets tell it for ever. Days that they do
// not tell yet are read from raw events and look alike.

#include "core/questions/question.hpp"

namespace shadow::questions
{

// A set in stored form.
class owned_set
{
public:
    owned_set() = default;
    explicit owned_set(const roaring::writer &set);
    // From ascending distinct numbers.
    explicit owned_set(const std::vector<std::uint32_t> &numbers);
    user_set_view view() const;

private:
    std::vector<std::uint8_t> bytes_;
};

// Throws error(memory_exceeded) beyond a limit.
class limited_memory final : public std::pmr::memory_resource
{
public:
    explicit limited_memory(std::size_t most_bytes) noexcept : left_(most_bytes) {}

private:
    void *do_allocate(std::size_t bytes, std::size_t alignment) override;
    void do_deallocate(void *p, std::size_t bytes, std::size_t alignment) override;
    bool do_is_equal(const memory_resource &other) const noexcept override { return this == &other; }

    std::size_t left_;
};

// Sets that grow, by place.
class set_row
{
public:
    set_row(std::size_t size, std::pmr::memory_resource &memory);
    user_set_builder &operator[](std::size_t i) noexcept { return *sets_[i]; }
    std::size_t size() const noexcept { return sets_.size(); }
    owned_set finished(std::size_t i, interrupt_check interrupted);

private:
    std::vector<std::unique_ptr<user_set_builder>> sets_;
};

// Users and events of a day that match the same selectors. The program has an event of their type and, if
// names are told apart, name open.
struct day_usage {
    date day;
    event_mask mask;
    std::int64_t events; // of all users, chosen or not
    user_set_view users; // of those that the question is about
};

struct usage_details {
    event_mask selectors = ~event_mask{0};
    bool needs_users = true;
    bool needs_events = false;
    bool needs_types = false, needs_names = false; // each is told by itself
};

// visit(usage) for the days first..last up to as_of; what is said of one day comes in a row, days in no order.
void read_daily_sets(question &asked, date first, date last, const usage_details &details,
                     const std::function<void(const day_usage &)> &visit);

} // namespace shadow::questions
