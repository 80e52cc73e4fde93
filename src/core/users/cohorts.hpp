#pragma once
// Retention of cohorts from sets of user numbers, in one pass over the periods in ascending order. Memory
// comes from the given resource and nothing needs a destructor.

#include "core/sets/user_set.hpp"
#include "core/users/user_map.hpp"

namespace shadow
{

// Retention of the cohorts of users first seen in the periods first..last.
class user_retention
{
public:
    // Counts periods up to `end`; activity after it counts as "on or after" only.
    user_retention(std::int32_t first, std::int32_t last, std::int32_t end,
                   std::pmr::memory_resource *memory);
    void add(std::int32_t period, const user_set_view &users, const user_set_view &new_users,
             interrupt_check interrupted = nullptr);
    void finish(); // before the following are asked

    std::int64_t size(std::int32_t cohort) const noexcept;
    // In the period `number` after the cohort's; on or after it.
    std::int64_t retained(std::int32_t cohort, std::int32_t number) const noexcept;
    std::int64_t survivors(std::int32_t cohort, std::int32_t number) const noexcept;

private:
    struct user {
        std::int32_t cohort = 0; // counted from 1 at first_; 0: none
        std::int32_t last = 0;   // period number of the last activity
    };
    struct cell {
        std::int64_t retained = 0, survivors = 0;
    };
    cell &at(std::int32_t cohort, std::int32_t number) noexcept
    {
        return cells_[static_cast<std::size_t>(cohort) * width_ + static_cast<std::size_t>(number)];
    }
    const cell &at(std::int32_t cohort, std::int32_t number) const noexcept
    {
        return cells_[static_cast<std::size_t>(cohort) * width_ + static_cast<std::size_t>(number)];
    }

    std::int32_t first_, last_;
    std::size_t width_;
    std::pmr::vector<cell> cells_;
    std::pmr::vector<std::int64_t> sizes_;
    user_map<user> users_;
};

} // namespace shadow
