#pragma once
// Active users over time from daily sets of user numbers, each in one pass over the days in ascending order
// with the last active day or period of every user at hand: no set is united with another.
// Memory comes from the given resource and nothing needs a destructor.

#include "core/sets/user_set.hpp"

namespace shadow
{

// A calendar period by its number; days are counted from 2000-01-01.
enum class period_kind { daily, weekly, monthly };
period_kind parse_period(std::string_view name); // throws errc::invalid_argument
std::int32_t period_of(period_kind kind, std::int32_t day) noexcept;
std::int32_t period_start(period_kind kind, std::int32_t period) noexcept; // its first day

// A value per user number; pages of the numbers that occur.
template <typename T>
class user_map
{
public:
    explicit user_map(std::pmr::memory_resource *memory) : pages_(memory) {}

    // Value-initialised when the number is new.
    T &operator[](std::uint32_t number)
    {
        std::size_t const page = number / page_size;
        if (page >= pages_.size())
            pages_.resize(page + 1);
        if (pages_[page] == nullptr)
            pages_[page] = new (allocate()) T[page_size]();
        return pages_[page][number % page_size];
    }
    // For numbers in ascending order, most of which lie on the page of the one before.
    class cursor
    {
    public:
        explicit cursor(user_map &map) : map_(map) {}
        T &operator[](std::uint32_t number)
        {
            if (number / page_size != page_) {
                page_ = number / page_size;
                values_ = &map_[static_cast<std::uint32_t>(page_ * page_size)];
            }
            return values_[number % page_size];
        }

    private:
        user_map &map_;
        std::size_t page_ = SIZE_MAX;
        T *values_ = nullptr;
    };
    template <typename Visit>
    void for_each(Visit visit) const
    {
        for (T *const page : pages_)
            for (std::size_t i = 0; page != nullptr && i < page_size; ++i)
                visit(page[i]);
    }

private:
    static constexpr std::size_t page_size = 4096;
    void *allocate()
    {
        return pages_.get_allocator().resource()->allocate(page_size * sizeof(T), alignof(T));
    }
    std::pmr::vector<T *> pages_;
};

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
