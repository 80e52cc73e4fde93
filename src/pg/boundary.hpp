#pragma once
// The bridge between C++ exceptions and PostgreSQL errors.
//
//   PostgreSQL -> C++   SHADOW_FUNCTION(shadow_name) { body }   the body may throw anything
//   C++ -> PostgreSQL   pg::call([&] { return f(x); })          a server error becomes pg::server_error
//
// Rule: an entry function fetches (PostgreSQL calls, plain data only on the stack), computes (core only),
// returns (PostgreSQL calls, plain data). No object with a destructor is alive while PostgreSQL can raise,
// except inside pg::call.

#include "core/base/error.hpp"
#include "core/base/interrupt.hpp"
#include "pg/prelude.hpp"

namespace shadow::pg
{

// A PostgreSQL error on its way through C++ frames. Not a std::exception, so that a library's handler
// cannot swallow it. The data is palloc'd in the context that was current at pg::call.
struct server_error {
    ErrorData *data;
};

// What a C++ exception says, in a form that survives the end of its handler: no destructor, no heap and
// no initialisers, as it sits on the stack of every call.
struct report {
    int sqlstate;
    bool was_cancelled;
    ErrorData *original; // set for a server_error: everything it said is kept
    char message[512];
    char detail[1024];
    char hint[512];
};
static_assert(std::is_trivially_default_constructible_v<report> && std::is_trivially_destructible_v<report>,
              "a report crosses a longjmp");

// Fills the report from the exception in flight; only to be called inside a handler.
void describe_current_exception(report &out) noexcept;

// Raises the report as a PostgreSQL error; called after the handler has ended, so nothing leaks.
[[noreturn]] void raise(report &failure);

// True when the server wants the running computation to stop (handed to core as interrupt_check). Serves
// whatever else is pending on the spot, which may throw server_error.
bool interrupted();

// Runs body() and raises what it throws as a PostgreSQL error: for a function that PostgreSQL calls back.
template <typename Body>
void enter_callback(Body body)
{
    static_assert(std::is_trivially_destructible_v<Body>, "the body holds no state");
    report failure;
    try {
        body();
        return;
    } catch (...) {
        describe_current_exception(failure);
    }
    raise(failure); // every C++ frame and the exception itself are gone by now
}

// The same for a function that SQL calls.
template <typename Body>
Datum enter(FunctionCallInfo fcinfo, Body body)
{
    static_assert(std::is_trivially_destructible_v<Body>, "the body holds no state");
    Datum result = 0;
    enter_callback([&] { result = body(fcinfo); });
    return result;
}

namespace detail
{
// Runs body(argument); throws server_error if PostgreSQL raised.
void guard(void (*body)(void *), void *argument);
} // namespace detail

// Runs a PostgreSQL call from C++ code that has live objects; `f` holds nothing with a destructor. Whoever
// catches the server_error passes it on: only the end of a (sub)transaction makes the session usable again.
// Costs a sigsetjmp: wrap a batch, not a row.
template <typename F>
auto call(F f) -> decltype(f())
{
    using result = decltype(f());
    static_assert(std::is_trivially_destructible_v<F>, "a longjmp skips destructors");
    if constexpr (std::is_void_v<result>) {
        detail::guard([](void *p) { (*static_cast<F *>(p))(); }, &f);
    } else {
        static_assert(std::is_scalar_v<result>, "a server call returns a plain value");
        struct {
            F &f;
            result value;
        } both{f, {}};
        using pair = decltype(both);
        detail::guard([](void *p) { static_cast<pair *>(p)->value = static_cast<pair *>(p)->f(); }, &both);
        return both.value;
    }
}

} // namespace shadow::pg

// Defines the SQL-callable function `name` (shadow_*). The body sees `fcinfo` and may throw anything.
#define SHADOW_FUNCTION(name)                                                                                \
    static Datum name##_body(FunctionCallInfo fcinfo);                                                       \
    extern "C" {                                                                                             \
    PG_FUNCTION_INFO_V1(name);                                                                               \
    Datum name(PG_FUNCTION_ARGS)                                                                             \
    {                                                                                                        \
        return shadow::pg::enter(fcinfo, name##_body);                                                       \
    }                                                                                                        \
    }                                                                                                        \
    static Datum name##_body([[maybe_unused]] FunctionCallInfo fcinfo)
