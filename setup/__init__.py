"""What quickstart.py does before anything of the suite can run: it needs no packages, only Python.

setup.environment       .venv, and the packages in it
setup.system_packages   what those need of the system, by its package manager
"""
