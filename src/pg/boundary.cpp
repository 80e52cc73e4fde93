#include "pg/boundary.hpp"

extern "C" {
#include "mb/pg_wchar.h"
}

namespace shadow::pg
{

static void fill(report &out, int sqlstate, const char *message, const char *detail = "",
                 const char *hint = "") noexcept
{
    out.sqlstate = sqlstate;
    out.was_cancelled = false;
    out.original = nullptr;
    strlcpy(out.message, message, sizeof out.message);
    strlcpy(out.detail, detail, sizeof out.detail);
    strlcpy(out.hint, hint, sizeof out.hint);
}

static int sqlstate_of(errc code) noexcept
{
    switch (code) {
    case errc::invalid_argument:
        return ERRCODE_INVALID_PARAMETER_VALUE;
    case errc::invalid_text:
        return ERRCODE_INVALID_TEXT_REPRESENTATION;
    case errc::out_of_range:
        return ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE;
    case errc::limit_exceeded:
        return ERRCODE_PROGRAM_LIMIT_EXCEEDED;
    case errc::memory_exceeded:
        return ERRCODE_OUT_OF_MEMORY;
    case errc::data_gone:
        return ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
    case errc::not_allowed:
        return ERRCODE_INSUFFICIENT_PRIVILEGE;
    case errc::corrupt_data:
        return ERRCODE_INVALID_BINARY_REPRESENTATION;
    }
    return ERRCODE_INTERNAL_ERROR;
}

// One ladder for every entry function. Boost.Math's errors are std::domain_error, std::overflow_error and
// std::runtime_error (evaluation_error), so they need no case of their own.
void describe_current_exception(report &out) noexcept
{
    try {
        throw;
    } catch (const cancelled &) {
        fill(out, ERRCODE_QUERY_CANCELED, "canceling statement due to user request");
        out.was_cancelled = true;
    } catch (const server_error &e) {
        fill(out, ERRCODE_OUT_OF_MEMORY, "out of memory", "The server's error could not be copied.");
        out.original = e.data; // nullptr if even the copy failed
    } catch (const error &e) {
        fill(out, sqlstate_of(e.code()), e.what(), e.detail().c_str(), e.hint().c_str());
    } catch (const std::bad_alloc &) {
        fill(out, ERRCODE_OUT_OF_MEMORY, "out of memory");
    } catch (const std::length_error &e) {
        fill(out, ERRCODE_PROGRAM_LIMIT_EXCEEDED, e.what());
    } catch (const std::invalid_argument &e) {
        fill(out, ERRCODE_INVALID_PARAMETER_VALUE, e.what());
    } catch (const std::domain_error &e) {
        fill(out, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, e.what());
    } catch (const std::overflow_error &e) {
        fill(out, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, e.what());
    } catch (const std::underflow_error &e) {
        fill(out, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, e.what());
    } catch (const std::range_error &e) {
        fill(out, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, e.what());
    } catch (const std::exception &e) {
        fill(out, ERRCODE_INTERNAL_ERROR, e.what());
    } catch (...) {
        fill(out, ERRCODE_INTERNAL_ERROR, "unexpected C++ exception");
    }
}

// A message cut by strlcpy must stay valid in the server encoding.
static char *clip(char *text) noexcept
{
    int const length = static_cast<int>(strlen(text));
    text[pg_mbcliplen(text, length, length)] = '\0';
    return text;
}

void raise(report &failure)
{
    if (failure.original != nullptr)
        ReThrowError(failure.original);
    if (failure.was_cancelled)
        CHECK_FOR_INTERRUPTS(); // reports who cancelled and why: user, timeout, conflict, shutdown
    if (errstart(ERROR, TEXTDOMAIN)) {
        errcode(failure.sqlstate);
        errmsg_internal("%s", clip(failure.message));
        if (failure.detail[0] != '\0')
            errdetail_internal("%s", clip(failure.detail));
        if (failure.hint[0] != '\0')
            errhint("%s", clip(failure.hint));
        errfinish(__FILE__, __LINE__, __func__);
    }
    pg_unreachable();
}

bool interrupted()
{
    if (!InterruptPending || InterruptHoldoffCount != 0 || CritSectionCount != 0)
        return false;
    if (ProcDiePending || (QueryCancelPending && QueryCancelHoldoffCount == 0))
        return true;
    // Barriers that another session waits for, session and transaction timeouts, recovery conflicts.
    call([] { CHECK_FOR_INTERRUPTS(); });
    return false;
}

// Copies the error just caught and clears it; nullptr if there is no memory for the copy.
static ErrorData *take_error(MemoryContext context) noexcept
{
    ErrorData *volatile copy = nullptr;
    MemoryContextSwitchTo(context);
    PG_TRY();
    {
        copy = CopyErrorData();
    }
    PG_CATCH();
    {
        copy = nullptr;
    }
    PG_END_TRY();
    MemoryContextSwitchTo(context);
    FlushErrorState();
    return copy;
}

void detail::guard(void (*body)(void *), void *argument)
{
    MemoryContext const context = CurrentMemoryContext;
    sigjmp_buf *const exception_stack = PG_exception_stack;
    ErrorContextCallback *const context_stack = error_context_stack;
    volatile bool failed = false;
    PG_TRY();
    {
        try {
            body(argument);
        } catch (...) { // leaves PG_TRY without its end: the next error would jump into this dead frame
            PG_exception_stack = exception_stack;
            error_context_stack = context_stack;
            throw;
        }
    }
    PG_CATCH();
    {
        failed = true;
    }
    PG_END_TRY();
    if (failed)
        throw server_error{take_error(context)};
}

} // namespace shadow::pg
