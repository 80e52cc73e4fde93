// analytics.report_page(): data in the page that `make install-report` puts beside the extension's files.

#include "core/report/page.hpp"

#include "pg/memory.hpp"

extern "C" {
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/fd.h"

#include <sys/stat.h>
}

using namespace shadow;

// The page has 0.6 MB; whatever is larger by far is something else.
static constexpr off_t largest_page = 16 * 1024 * 1024;

[[noreturn]] static void raise_missing()
{
    ereport(ERROR,
            (errcode(ERRCODE_UNDEFINED_FILE), errmsg("the report page is not installed"),
             errdetail("The server's share directory has no file extension/shadow_analytics_report.html."),
             errhint("In the source directory of shadow_analytics: make report && make install-report. "
                     "analytics.report() returns the data alone.")));
}

static char *page_path()
{
    auto *const path = static_cast<char *>(palloc(MAXPGPATH));
    char share[MAXPGPATH];
    get_share_path(my_exec_path, share);
    snprintf(path, MAXPGPATH, "%s/extension/shadow_analytics_report.html", share);
    return path;
}

static FILE *open_page(const char *path, std::size_t &size)
{
    FILE *const file = AllocateFile(path, PG_BINARY_R);
    if (file == nullptr && errno == ENOENT)
        raise_missing();
    struct stat status;
    if (file == nullptr || fstat(fileno(file), &status) != 0)
        ereport(ERROR, (errcode_for_file_access(), errmsg("could not open the report page: %m")));
    if (!S_ISREG(status.st_mode) || status.st_size > largest_page)
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("the report page is no page"),
                        errdetail("It is not a regular file, or has more than 16 MB.")));
    size = static_cast<std::size_t>(status.st_size);
    return file;
}

static std::string_view read_page()
{
    std::size_t size;
    FILE *const file = open_page(page_path(), size);
    auto *const content = static_cast<char *>(palloc(size + 1));
    std::size_t const length = fread(content, 1, size, file);
    if (ferror(file) != 0)
        ereport(ERROR, (errcode_for_file_access(), errmsg("could not read the report page: %m")));
    FreeFile(file);
    return {content, length};
}

// A database of encoding SQL_ASCII promises nothing: its bytes are taken as they are.
static std::string_view utf8_text(text *value)
{
    char *const plain = VARDATA_ANY(value);
    int const length = static_cast<int>(VARSIZE_ANY_EXHDR(value));
    if (GetDatabaseEncoding() == PG_SQL_ASCII)
        return {plain, static_cast<std::size_t>(length)};
    char *const converted = pg_server_to_any(plain, length, PG_UTF8);
    return {converted, converted == plain ? static_cast<std::size_t>(length) : strlen(converted)};
}

static varlena *to_text(const std::pmr::string &page)
{
    if (page.size() >= MaxAllocSize - VARHDRSZ)
        throw error(errc::limit_exceeded, "the report page is too long",
                    "It has " + std::to_string(page.size()) + " bytes, a value has at most 1 GB.");
    varlena *const value = pg::allocate_varlena(page.size());
    memcpy(VARDATA(value), page.data(), page.size());
    return value;
}

SHADOW_FUNCTION(shadow_report_page)
{
    std::string_view const page = read_page();
    std::string_view const json = utf8_text(PG_GETARG_TEXT_PP(0));

    pg::palloc_resource memory(CurrentMemoryContext);
    return PointerGetDatum(to_text(report_page(page, json, &memory, pg::interrupted)));
}
