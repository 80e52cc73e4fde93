#pragma once
// Retention of cohorts from sets of user numbers, in one pass over the periods in ascending order. Memory
// comes from the given resource and nothing needs a destructor.

#include "core/sets/user_set.hpp"
#include "core/users/user_map.hpp"

namespace shadow
{

// Retention of the cohorts of users first seen in the periods first..last, none after `end`.
class user_retention
{
public:
    // Counts periods up to `end`; activity after it counts as "on or after" only. Throws errc::limit_exceeded.
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
    // A cohort has a cell for each period from its own to `end`, and one for whatever comes after.
    std::int32_t beyond(std::int32_t cohort) const noexcept { return width_ - 1 - cohort; }
    static std::int64_t cells_before(std::int64_t cohort, std::int64_t width) noexcept
    {
        return cohort * width - cohort * (cohort - 1) / 2;
    }
    static std::size_t checked_cells(std::int32_t first, std::int32_t last, std::int32_t end);
    cell &at(std::int32_t cohort, std::int32_t number) noexcept
    {
        return cells_[static_cast<std::size_t>(cells_before(cohort, width_) + number)];
    }
    const cell &at(std::int32_t cohort, std::int32_t number) const noexcept
    {
        return cells_[static_cast<std::size_t>(cells_before(cohort, width_) + number)];
    }

    std::int32_t first_, last_;
    std::int32_t width_; // of the first cohort
    std::pmr::vector<cell> cells_;
    std::pmr::vector<std::int64_t> sizes_;
    user_map<user> users_;
};

} // namespace shadow
