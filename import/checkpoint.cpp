#include "checkpoint.hpp"

#include <cstdio>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace importer
{

checkpoint_file::checkpoint_file(std::string path, std::string identity)
    : path_(std::move(path)), identity_(std::move(identity))
{
}

bool checkpoint_file::read(checkpoint &c) const
{
    std::ifstream file(path_);
    std::string line, word;
    if (path_.empty() || !std::getline(file, line))
        return false;
    if (line != identity_)
        throw std::runtime_error("the state file " + path_ +
                                 " is of another import (files or options differ); remove it to begin anew");
    while (std::getline(file, line)) {
        std::istringstream fields(line);
        fields >> word;
        if (word == "done")
            fields >> c.source >> c.record >> c.rejects;
        else if (word == "counts")
            fields >> c.counted.read >> c.counted.loaded >> c.counted.present >> c.counted.shortened;
        else if (word == "days")
            for (std::int64_t day; fields >> day;)
                c.counted.days.insert(day);
        else if (word == "workspaces")
            for (std::string id; fields >> id;)
                c.counted.workspaces.insert(id);
    }
    return true;
}

// The new file takes the old one's place at once, so that there is always a whole one.
void checkpoint_file::write(const checkpoint &c) const
{
    if (path_.empty())
        return;
    std::string const fresh = path_ + ".new";
    std::ofstream file(fresh, std::ios::trunc);
    file << identity_ << "\ndone " << c.source << ' ' << c.record << ' ' << c.rejects << "\ncounts "
         << c.counted.read << ' ' << c.counted.loaded << ' ' << c.counted.present << ' '
         << c.counted.shortened << "\ndays";
    for (std::int64_t const day : c.counted.days)
        file << ' ' << day;
    file << "\nworkspaces";
    for (std::string const &id : c.counted.workspaces)
        file << ' ' << id;
    file << '\n';
    file.close();
    if (!file || std::rename(fresh.c_str(), path_.c_str()) != 0)
        throw std::runtime_error("cannot write the state file " + path_);
}

void checkpoint_file::remove() const
{
    if (!path_.empty())
        std::remove(path_.c_str());
}

} // namespace importer
