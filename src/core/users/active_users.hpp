#pragma once
// Active users over time from daily sets of user numbers, each in one pass over the days in ascending order
// with the last active day or period of every user at hand: no set is united with another.
// Memory comes from the given resource and nothing needs a destructor.

#include "core/sets/user_set.hpp"
#include "core/users/user_map.hpp"

namespace shadow
{

// Distinct users of the 1, 7 and 30 days that end with a day.
struct active_counts {
    std::int32_t day;
    std::int64_t daily, weekly, monthly;
};

class trailing_users
{
public:
    static constexpr std::int32_t longest = 30;

    // For the days first..last; days from first - 29 on count.
    trailing_users(std::int32_t first, std::int32_t last, std::pmr::memory_resource *memory);
    void add(std::int32_t day, const user_set_view &users, interrupt_check interrupted = nullptr);
    const std::pmr::vector<active_counts> &finish();

private:
    void report_until(std::int32_t day);

    std::int32_t origin_, last_, next_;
    // Users whose last active day so far it is; days are counted from 1 at origin_, and 0 stands for none.
    std::pmr::vector<std::int64_t> by_last_day_;
    user_map<std::int32_t> last_day_;
    std::pmr::vector<active_counts> result_;
};

struct lifecycle_counts {
    std::int32_t period;
    std::int64_t fresh, returning, resurrecting, dormant;
};

class user_lifecycle
{
public:
    // For the periods first..last; the one before first counts.
    user_lifecycle(std::int32_t first, std::int32_t last, std::pmr::memory_resource *memory);
    void add(std::int32_t period, const user_set_view &users, const user_set_view &new_users,
             interrupt_check interrupted = nullptr);
    lifecycle_counts at(std::int32_t period) const noexcept;

private:
    struct sums {
        std::int64_t active = 0, fresh = 0, stayed = 0;
    };
    std::int32_t origin_;
    std::pmr::vector<sums> sums_;
    user_map<std::int32_t> last_period_; // counted from 1 at origin_; 0: none
};

} // namespace shadow
