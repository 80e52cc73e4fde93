#pragma once
// Long loops in core stay cancellable without core knowing who cancels.

#include <cstdint>

namespace shadow
{

// Thrown when the host asked to stop. Not a std::exception, so no library's handler swallows it.
struct cancelled {
};

// Answers whether the host wants the computation to stop; nullptr means "never".
using interrupt_check = bool (*)();

// Call it once per iteration of a light loop: it asks the host every 65,536 calls, which costs nothing
// measurable and answers a cancel within milliseconds.
class interrupt_poll
{
public:
    explicit interrupt_poll(interrupt_check check) noexcept : check_(check) {}
    void operator()()
    {
        if (++calls_ % interval == 0)
            now();
    }
    interrupt_check check() const noexcept { return check_; }
    // For steps that are long by themselves.
    void now() const
    {
        if (check_ != nullptr && check_())
            throw cancelled{};
    }

private:
    static constexpr std::uint32_t interval = 65536;
    interrupt_check check_;
    std::uint32_t calls_ = 0;
};

} // namespace shadow
