#include "core/users/cohorts.hpp"

#include <algorithm>

#include "core/base/limits.hpp"

namespace shadow
{

std::size_t user_retention::checked_cells(std::int32_t first, std::int32_t last, std::int32_t end)
{
    std::int64_t const cells = cells_before(std::int64_t{last} - first + 1, std::int64_t{end} - first + 2);
    limits::check(cells, limits::retention_cells, "cohorts and periods",
                  "ask for fewer cohorts or longer periods.");
    return static_cast<std::size_t>(cells);
}

user_retention::user_retention(std::int32_t first, std::int32_t last, std::int32_t end,
                               std::pmr::memory_resource *memory)
    : first_(first), last_(last), width_(end - first + 2),
      cells_(checked_cells(first, last, end), cell{}, memory),
      sizes_(static_cast<std::size_t>(last - first + 1), 0, memory), users_(memory)
{
}

void user_retention::add(std::int32_t period, const user_set_view &users, const user_set_view &new_users,
                         interrupt_check interrupted)
{
    if (period < first_)
        return;
    if (period <= last_) {
        new_users.for_each(
            [&](std::uint32_t number) {
                users_[number] = {period - first_ + 1, -1};
            },
            interrupted);
        sizes_[static_cast<std::size_t>(period - first_)] +=
            static_cast<std::int64_t>(new_users.cardinality());
    }
    user_map<user>::cursor known(users_);
    users.for_each(
        [&](std::uint32_t number) {
            user &u = known[number];
            if (u.cohort == 0)
                return;
            std::int32_t const since = std::min(period - first_ - (u.cohort - 1), beyond(u.cohort - 1));
            if (since != u.last)
                ++at(u.cohort - 1, since).retained;
            u.last = since;
        },
        interrupted);
}

void user_retention::finish()
{
    users_.for_each([&](const user &u) {
        if (u.cohort != 0 && u.last >= 0)
            ++at(u.cohort - 1, u.last).survivors;
    });
    for (std::int32_t c = 0; c <= last_ - first_; ++c)
        for (auto number = beyond(c); number-- > 0;)
            at(c, number).survivors += at(c, number + 1).survivors;
}

std::int64_t user_retention::size(std::int32_t cohort) const noexcept
{
    return sizes_[static_cast<std::size_t>(cohort - first_)];
}

std::int64_t user_retention::retained(std::int32_t cohort, std::int32_t number) const noexcept
{
    return at(cohort - first_, number).retained;
}

std::int64_t user_retention::survivors(std::int32_t cohort, std::int32_t number) const noexcept
{
    return at(cohort - first_, number).survivors;
}

} // namespace shadow
