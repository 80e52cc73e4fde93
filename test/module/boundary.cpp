// Throws every kind of exception at the boundary, for test/sql/boundary.sql. The files of this
// directory make a module of its own, on src/core and src/pg; it is never installed.

#include <boost/math/policies/error_handling.hpp>
#include <boost/math/special_functions/gamma.hpp>
#include <map>
#include <memory>
#include <unistd.h>
#include <vector>

#include "pg/boundary.hpp"
#include "pg/memory.hpp"

extern "C" {
#include "executor/spi.h"

PG_MODULE_MAGIC;
}

namespace pg = shadow::pg;

namespace
{

// How many are alive tells whether destructors ran.
struct witness {
    static int alive;
    std::string heap = std::string(1000, 'x');
    witness() { ++alive; }
    witness(const witness &) = delete;
    ~witness() { --alive; }
};
int witness::alive = 0;

struct unknown {
};

[[noreturn]] void fail_evaluation()
{
    using raising = boost::math::policies::policy<>;
    boost::math::policies::raise_evaluation_error("test", "series does not converge at %1%", 0.5, raising());
    throw unknown{};
}

const std::map<std::string_view, void (*)()> &throwers()
{
    static const std::map<std::string_view, void (*)()> all = {
        {"core invalid_argument",
         [] {
             throw shadow::error(shadow::errc::invalid_argument, "fraction is outside the unit interval",
                                 "It is 1.5.", "Give a number from 0 to 1.");
         }},
        {"core invalid_text", [] { throw shadow::error(shadow::errc::invalid_text, "text does not parse"); }},
        {"core out_of_range", [] { throw shadow::error(shadow::errc::out_of_range, "number too large"); }},
        {"core limit_exceeded", [] { throw shadow::error(shadow::errc::limit_exceeded, "too many keys"); }},
        {"core corrupt_data", [] { throw shadow::error(shadow::errc::corrupt_data, "bad sketch"); }},
        {"bad_alloc", [] { throw std::bad_alloc(); }},
        {"length_error", [] { throw std::length_error("container too long"); }},
        {"out_of_range", [] { throw std::out_of_range("index too large"); }},
        {"domain_error", [] { (void)boost::math::tgamma(-1.0); }},
        {"overflow_error", [] { (void)boost::math::tgamma(1000.0); }},
        {"evaluation_error", fail_evaluation},
        {"invalid_argument", [] { throw std::invalid_argument("not a number"); }},
        {"int", [] { throw 42; }},
        {"unknown", [] { throw unknown{}; }},
        {"empty message", [] { throw std::runtime_error(""); }},
        {"per cent", [] { throw shadow::error(shadow::errc::invalid_text, "%s %n", "%d", "%m"); }},
    };
    return all;
}

std::string_view text_view(Datum value)
{
    text *const t = DatumGetTextPP(value);
    return {VARDATA_ANY(t), static_cast<std::size_t>(VARSIZE_ANY_EXHDR(t))};
}

void run_sql(const char *command)
{
    if (SPI_connect() < 0)
        elog(ERROR, "SPI_connect failed");
    SPI_execute(command, false, 0);
    SPI_finish();
}

} // namespace

// test_throw(kind text): throws, with live objects on the way.
SHADOW_FUNCTION(test_throw)
{
    std::string_view const kind = text_view(PG_GETARG_DATUM(0));
    witness guard;
    throwers().at(kind)();
    PG_RETURN_VOID();
}

// test_call(sql text): runs SQL through pg::call with live C++ objects; a handler of std::exception must not
// see the server's error.
SHADOW_FUNCTION(test_call)
{
    char *const command = text_to_cstring(PG_GETARG_TEXT_PP(0));
    bool swallowed = false;
    {
        witness guard;
        try {
            pg::call([command] { run_sql(command); });
        } catch (const std::exception &) {
            swallowed = true;
        }
    }
    PG_RETURN_TEXT_P(cstring_to_text(swallowed ? "swallowed" : "no error"));
}

// test_call_throws(): a C++ exception out of pg::call leaves the server's error handling in order.
SHADOW_FUNCTION(test_call_throws)
{
    sigjmp_buf *const before = PG_exception_stack;
    bool in_order = false;
    try {
        pg::call([] { throw 42; });
    } catch (int) {
        in_order = PG_exception_stack == before;
    }
    PG_RETURN_BOOL(in_order);
}

SHADOW_FUNCTION(test_alive)
{
    PG_RETURN_INT32(witness::alive);
}

// test_long(length int, unit text): message, detail and hint far beyond the buffers.
SHADOW_FUNCTION(test_long)
{
    int const length = PG_GETARG_INT32(0);
    std::string_view const unit = text_view(PG_GETARG_DATUM(1));
    std::string text = "x";
    for (int i = 0; i < length; ++i)
        text += unit;
    throw shadow::error(shadow::errc::invalid_text, text, text, text);
}

// test_spin(): until the server says stop.
SHADOW_FUNCTION(test_spin)
{
    witness guard;
    shadow::interrupt_poll poll(pg::interrupted);
    for (;;)
        poll();
}

// test_memory(): pmr containers of every alignment over palloc, and a request that cannot be met.
SHADOW_FUNCTION(test_memory)
{
    pg::palloc_resource memory(CurrentMemoryContext);
    bool aligned = true;
    for (std::size_t alignment = 1; alignment <= 4096; alignment *= 2) {
        void *const p = memory.allocate(100, alignment);
        aligned = aligned && reinterpret_cast<std::uintptr_t>(p) % alignment == 0;
        std::memset(p, 0x5a, 100);
        memory.deallocate(p, 100, alignment);
    }
    {
        std::pmr::unsynchronized_pool_resource pool(&memory);
        std::pmr::map<int, std::pmr::string> names(&pool);
        for (int i = 0; i < 1000; ++i)
            names.emplace(i, "a name too long for the small string optimisation");
    }
    PG_RETURN_BOOL(aligned);
}

SHADOW_FUNCTION(test_exhaust)
{
    pg::palloc_resource memory(CurrentMemoryContext);
    std::pmr::vector<char> huge(static_cast<std::size_t>(PG_GETARG_INT64(0)), &memory);
    PG_RETURN_INT64(static_cast<std::int64_t>(huge.size()));
}

// test_resident(): resident pages of this backend, in bytes.
SHADOW_FUNCTION(test_resident)
{
    long pages = 0;
    std::FILE *const file = std::fopen("/proc/self/statm", "r");
    if (file != nullptr) {
        if (std::fscanf(file, "%*d %ld", &pages) != 1)
            pages = 0;
        std::fclose(file);
    }
    PG_RETURN_INT64(static_cast<std::int64_t>(pages) * sysconf(_SC_PAGESIZE));
}
